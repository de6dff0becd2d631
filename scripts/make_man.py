#!/usr/bin/env python3
"""Writes manual pages from what the program says of its commands: make_man.py BINARY FOLDER

martlet.1 lists the commands; each of them has a page, with its own commands as sections.
"""
import datetime, gzip, json, os, pathlib, re, subprocess, sys


def text(words):
    """Plain text as roff shows it."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", escaped)


def paragraphs(words):
    """Paragraphs are filled; lines that begin with blanks stay as they are."""
    for part in (words or "").split("\n\n"):
        lines = part.split("\n")
        plain = [line for line in lines if not line.startswith("  ")]
        if plain: yield ".PP\n" + text("\n".join(plain)).replace("`", "") + "\n"
        if len(plain) < len(lines): yield ".PP\n.nf\n" + text("\n".join(line for line in lines if line.startswith("  "))) + "\n.fi\n"


def spelling(argument):
    value = f"\\fI{text(argument['valueName'])}\\fR"
    if argument["kind"] == "positional": return value
    names = [("\\-\\-" if name["kind"].startswith("long") and name["kind"] != "longWithSingleDash" else "\\-") + text(name["name"]) for name in argument["names"]]
    return ", ".join(f"\\fB{name}\\fR" for name in names) + (f" {value}" if argument["kind"] == "option" else "")


def options(command):
    for argument in command.get("arguments", []):
        if not argument["shouldDisplay"] or argument["valueName"] in ("help", "version"): continue
        about = argument.get("abstract", "")
        values = argument.get("allValues")
        if values and argument["kind"] != "flag": about += f" (values: {', '.join(values)})"
        yield f".TP\n{spelling(argument)}\n{text(about.strip() or 'See above.')}\n"


def commands(command): return [c for c in command.get("subcommands", []) if c["shouldDisplay"] and c["commandName"] != "help"]


def body(command, name):
    yield from paragraphs(command.get("discussion"))
    listed = list(options(command))
    if listed: yield ".SS Options\n"; yield from listed


def page(command, name, version, date):
    title = name.replace(" ", "-")
    yield f'.TH {text(title).upper()} 1 "{date}" "martlet {version}" "Martlet"\n'
    yield f".SH NAME\n{text(title)} \\- {text(command['abstract'].rstrip('.'))}\n"
    children = commands(command)
    yield f".SH SYNOPSIS\n.B {text(name)}\n" + ("\\fICOMMAND\\fR " if children else "") + "[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n"
    yield from body(command, name)
    if name == "martlet":
        yield ".SH COMMANDS\n"
        for child in children: yield f".TP\n\\fBmartlet\\-{text(child['commandName'])}\\fR(1)\n{text(child['abstract'])}\n"
        return
    for child in children:
        yield f".SH {text(name + ' ' + child['commandName']).upper()}\n.PP\n{text(child.get('abstract', ''))}\n"
        yield from body(child, name)
    yield ".SH SEE ALSO\n.BR martlet (1)\n"


def main(binary, folder):
    version = subprocess.check_output([binary, "--version"], text=True).strip()
    root = json.loads(subprocess.check_output([binary, "--experimental-dump-help"]))["command"]
    date = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc).date()
    for command, name in [(root, "martlet")] + [(c, "martlet " + c["commandName"]) for c in commands(root)]:
        path = pathlib.Path(folder) / (name.replace(" ", "-") + ".1.gz")
        path.write_bytes(gzip.compress("".join(page(command, name, version, date)).encode(), 9, mtime=0))


main(*sys.argv[1:])

#!/usr/bin/env python3
"""Makes cases for the chat template interpreter: what jinja2, set up as transformers sets it up, renders.

    make_template_cases.py Tests/ChatTemplatesTests/Goldens/language

Reads the folder's templates.txt by group, adds drawn ones, and writes to its cases.json a list of {"name", "template", "variables", "expected"}, with
"error": true in place of "expected" where rendering fails. A case sees those of VARIABLES that its template mentions.
Needs jinja2 3.1.6; the seed is fixed.
"""
import itertools, json, random, re, sys
from datetime import datetime

import jinja2, jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

SEED = 11
VARIABLES = {
    "messages": [{"role": "system", "content": "Be <brief>."}, {"role": "user", "content": "Hi  there\n"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "get", "arguments": {"city": "Zürich", "days": 2}}}]}, {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image"}]}],
    "tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>",
    "people": [{"name": "bob", "age": 30, "city": None, "pet": {"name": "Rex"}}, {"name": "Alice", "age": 25, "city": "Rome"}, {"name": "Bob", "age": 35, "city": "rome", "pet": {"name": "Ada"}}],
    "words": ["pear", "Apple", "apple", "fig", "Fig"], "numbers": [3, -1, 2.5, 10, 2], "empty": [], "pairs": [["b", 2], ["a", 1], ["c", 3]],
    "tree": [{"n": "a", "kids": [{"n": "b", "kids": []}, {"n": "c", "kids": [{"n": "d", "kids": []}]}]}, {"n": "e", "kids": []}],
    "mapping": {"b": 2, "A": 3, "c": 1, "items": "mine", "update": "new", "0": "zero"}, "schema": {"type": "object", "max": 18446744073709551615, "min": -1e-7, "big": 1e16, "e": {}, "l": [], "n": [[1, None], {"k": True}]},
    "html": "<a href=\"x\">it's & more</a>", "text": "Hello, big  wide-world\nsecond line\n\n  fourth", "name": "Zoë O'Hara", "unicode": "Straße İ ΟΔΟΣ ǆ ﬁ 👍🏽 e\u0301 日本", "blank": "", "nothing": None, "seven": 7, "half": 2.5,
}


def written(path):
    """Groups and templates, and the variables that each mentions."""
    group = None
    for line in open(path, newline="\n", encoding="utf-8"):
        line = line.removesuffix("\n")
        if not line or line.startswith("#"): continue
        if line.startswith("["): group = line.strip("[]")
        else:
            template = json.loads(line) if line.startswith('"') else line
            yield group, template, {key: value for key, value in VARIABLES.items() if re.search(rf"(?<![\\\w.'\"]){key}\b(?!['\"])", template)}


def drawn():
    """Cases by the dozen, drawn with the seed: groups, templates and variables."""
    rng = random.Random(SEED)
    numbers = ["0", "1", "3", "-4", "17", "2.5", "-0.75", "1e10", "true", "(-9)"]
    bases = [number for number in numbers if "-" not in number]  # whose powers are not complex
    for op, count in {"+": 3, "-": 4, "*": 4, "/": 8, "//": 10, "%": 12, "**": 10}.items():
        for _ in range(count):
            yield "arithmetic-drawn", f"{{{{ {rng.choice(bases if op == '**' else numbers)} {op} {rng.choice(numbers)} }}}}", {}
    for _ in range(20):
        bounds = [":".join(rng.choice(["", str(rng.randint(-7, 7))]) for _ in range(2)) + rng.choice(["", ":2", ":-1", ":-3"]) for _ in range(4)]
        yield "slice-drawn", " ".join(f"{{{{ s[{bound}] }}}} {{{{ l[{bound}] }}}}" for bound in bounds), {"s": "añb👍c", "l": [1, 2, 3, 4, 5]}
    for _ in range(25):
        value = rng.choice([rng.uniform(-1, 1), rng.uniform(-1e4, 1e4)]) * 10.0 ** rng.randint(-9, 18)
        yield "float-drawn", "{{ v }} {{ v | tojson }} {{ [v] }} {{ v | string | float == v }}", {"v": value}
    for _ in range(12):
        value = round(rng.uniform(-100, 100), rng.randint(1, 4))
        for method in ("common", "ceil", "floor"):
            yield "round-drawn", " ".join(f"{{{{ v | round({digits}, '{method}') }}}}" for digits in (0, 1, 2, -1)), {"v": value}
    awkward = ["", "a", "ÀÉ x", "ǅenan", "ᾳ ΑΣ Σ", "ﬁ ŉ", "ıİ", "日本語 テキスト", "👩‍👩‍👧 x", "\u00a0a\u2003", "a\u0301b", "\x00\x1b[0m", "tab\tnew\nline", "it's \"q\"", "back\\slash", "١٢٣", "x²½", "\u200bz\ufeff", "ß-ẞ", "O'neil mc-donald's"]
    for value in awkward:
        yield "awkward-print", "{{ [v] }} {{ v | tojson }} {{ v | tojson(ensure_ascii=true) }} {{ v | e }}", {"v": value}
        yield "awkward-case", "{{ v | upper }}|{{ v | lower }}|{{ v | capitalize }}", {"v": value}
        yield "awkward-title", "{{ v | title }}|{{ v.title() }}", {"v": value}
        yield "awkward-kind", "{{ [v.isalpha(), v.isdigit(), v.isspace(), v.isupper(), v.islower(), v is upper, v is lower] }}", {"v": value}
        yield "awkward-parts", "{{ v.split() }} {{ v | length }} {{ v | reverse | tojson }} {{ v.strip() | tojson }} {{ v[1:3] | tojson }}", {"v": value}
        yield "awkward-rare", "{{ v | urlencode }} {{ v | wordcount }} {{ v.swapcase() }} {{ v.casefold() }} {{ v.isalnum() }} {{ v.istitle() }} {{ v.isidentifier() }}", {"v": value}
    for _ in range(15):
        line = " ".join(rng.choice(["alpha", "be-ta", "c", "delta-echo-foxtrot", "gamma,", "\n"]) for _ in range(rng.randint(2, 9)))
        width, flag, other = rng.randint(1, 14), rng.choice(["true", "false"]), rng.choice(["true", "false"])
        yield "indent-drawn", f"{{{{ v | indent({width % 5}, {flag}, {other}) }}}}", {"v": line}
        yield "layout-drawn", f"{{{{ v | wordwrap({width}) }}}}|{{{{ v | truncate({width + 3}, {flag}, leeway={width % 4}) }}}}|{{{{ v | center({width * 4}) }}}}", {"v": line}


def environment():
    """Jinja as transformers 5 compiles chat templates with it (utils/chat_template_utils.py)."""

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_called"), [], [], body).set_lineno(line)

        def _called(self, caller):
            return caller()

    class Namespace(jinja2.utils.Namespace):
        def __init__(*args, **kwargs):
            attributes = dict(*args[1:], **kwargs)
            for name in attributes: Namespace.check(name)
            jinja2.utils.Namespace.__init__(args[0], attributes)

        def __setitem__(self, name, value):
            Namespace.check(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def check(name):
            if isinstance(name, str) and name.startswith("_"): raise jinja2.exceptions.SecurityError(name)

    class Dict:
        def __call__(self, *args, **kwargs): return dict(*args, **kwargs)
        def fromkeys(self, *args, **kwargs): return dict.fromkeys(*args, **kwargs)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals.update(raise_exception=raise_exception, strftime_now=lambda format: datetime.now().strftime(format), dict=Dict(), namespace=Namespace)
    return made


def case(name, template, variables, jinja):
    made = {"name": name, "template": template, "variables": variables}
    try: made["expected"] = jinja.from_string(template).render(variables)
    except Exception: made["error"] = True  # of jinja2 or, from inside an expression, of Python
    if re.search(r"0x[0-9a-f]{8}", made.get("expected", "")): raise SystemExit(f"{name} prints an address: {template}")
    return made


def main(folder):
    if jinja2.__version__ != "3.1.6": raise SystemExit("needs jinja2 3.1.6")
    jinja = environment()
    counts, cases = {}, []
    for group, template, variables in itertools.chain(written(f"{folder}/templates.txt"), drawn()):
        counts[group] = counts.get(group, 0) + 1
        cases.append(case(f"{group}-{counts[group]}", template, variables, jinja))
    with open(f"{folder}/cases.json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")
    print(len(cases), "cases,", sum("error" in c for c in cases), "of them errors")


main(*sys.argv[1:])

"""The tutorial, run as it is written: every command of docs/tutorial.md in one shell, in order.

Blocks marked `install` or `train` take minutes and packages. Without TUTORIAL=whole in the environment they are left out: the base is
the GGUF file, and adapters are those that the same commands made once; TUTORIAL=renew makes these. What the page shows behind a
block is what must come."""
import shutil

from api_server import *

PAGE = os.path.join(ROOT, "docs/tutorial.md")
FINISHED = os.path.join(ROOT, "Examples/tutorial/adapters")
WHOLE, RENEW = os.environ.get("TUTORIAL") in ("whole", "renew"), os.environ.get("TUTORIAL") == "renew"
END = "-- the end of block"


def blocks():
    """Each block of commands: how it is marked, its text, and what the page shows behind it."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", open(PAGE).read(), re.M | re.S)
    for i, (info, text) in enumerate(found):
        if info.split()[:1] != ["sh"]: continue
        shown = found[i + 1][1] if i + 1 < len(found) and found[i + 1][0] == "text" else ""
        yield info[2:].strip(), text, shown


def shortened(mark, text):
    if WHOLE or not mark: return text
    if mark == "install": return f"export BASE={os.path.abspath(MODEL)}\n"
    output = re.search(r" (\.tutorial/(\w+))( [0-9]+)?$", text, re.M)
    return f"cp -r {FINISHED}/{output[2]} {output[1]}\n"


def script(port):
    lines = []
    for number, (mark, text, _) in enumerate(blocks()):
        lines.append(shortened(mark, text).replace("localhost:8080", f"127.0.0.1:{port}") + f"echo '{END} {number}'\n")
    return "".join(lines)


def pattern(line):
    """A shown line as an expression: `…` is anything, white space any white space, and numbers are the whole run's own."""
    text = re.escape(" ".join(line.split())).replace("…", ".*")
    return re.sub(r"[0-9a-f]{12,}|[0-9]+", "[0-9a-f]+", text) if WHOLE else text


@check
def every_command_of_the_tutorial_works(_):
    with tempfile.TemporaryDirectory() as folder, socket.socket() as s:
        for name in ("Examples", "scripts", ".build", ".quickstart"): os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
        s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close()
        environment = {**os.environ, "XDG_CACHE_HOME": CACHE, "MARTLET_PORT": str(port), "MARTLET_URL": f"http://127.0.0.1:{port}"}
        shell = subprocess.Popen(["bash", "-euo", "pipefail", "-c", script(port)], cwd=folder, env=environment, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try: told = shell.communicate(timeout=3000 if WHOLE else 300)[0]
        finally:
            try: os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError: pass
        assert shell.returncode == 0, told[-3000:]
        for name in ("first", "better") if RENEW else ():
            for file in ("adapter_config.json", "adapter_model.safetensors"): shutil.copy(f"{folder}/.tutorial/{name}/{file}", f"{FINISHED}/{name}")
        parts = re.split(rf"{END} \d+\n", told)
        for (mark, text, shown), said in zip(blocks(), parts):
            if WHOLE: print(text + said)
            if mark and not WHOLE: continue
            lines = [" ".join(line.split()) for line in said.splitlines()]
            for line in shown.splitlines():
                assert any(re.fullmatch(pattern(line), other) for other in lines), f"{text}\nsaid\n{said}\nand not\n{line}"
        right = [int(n) for n in re.findall(r"^tickets, schema +\d+ +(\d+)$", told, re.M)]
        assert len(right) == 2 and right[1] >= 15 and right[1] > right[0], right

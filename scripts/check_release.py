"""What scripts/check-release does with the files of a release."""
import contextlib, glob, hashlib, http.client, json, os, pwd, re, shutil, signal, socket, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT, MODEL = sys.argv[1], sys.argv[2]
ADAPTERS = os.path.join(ROOT, "Examples/adapters")
SMALL = ["--kv-memory", "64MiB", "--context-length", "512"]
# What somebody may wait for the first token from `pip install` on.
LONGEST = 20


def only(pattern):
    found = glob.glob(os.path.join(OUT, pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def run(*command, **more):
    result = subprocess.run(command, capture_output=True, text=True, **more)
    assert result.returncode == 0, f"{' '.join(command)} gave {result.returncode}: {(result.stderr or result.stdout)[-2000:]}"
    return result.stdout


def size(path): return f"{os.path.getsize(path) / 2**20:.1f} MiB"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def request(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally: connection.close()


@contextlib.contextmanager
def serving(command, port, **more):
    """A server that is ready; leaves when it ended with 0 on SIGTERM."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **more)
        try:
            for _ in range(600):
                assert process.poll() is None, f"the server ended with {process.returncode}: {log.seek(0) or log.read()}"
                with contextlib.suppress(OSError):
                    if request(port, "GET", "/ready")[0] == 200: break
                time.sleep(0.05)
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0, f"a stop ended it with {process.returncode}"
        finally: process.kill()


def check_program():
    """It is static, it runs on nothing but a kernel, and it answers."""
    path = only("martlet-*-linux-x86_64")
    told = subprocess.run(["ldd", path], capture_output=True, text=True)
    assert "not a dynamic executable" in told.stderr + told.stdout or "statically linked" in told.stdout, told
    version = run(path, "--version").strip()
    assert f"-{version}-" in os.path.basename(path), version
    with tempfile.TemporaryDirectory() as empty:
        shutil.copy(path, f"{empty}/martlet"); os.mkdir(f"{empty}/proc")
        alone = ["unshare", "--mount", "sh", "-c", 'mount --bind /proc "$0/proc" && exec chroot "$0" /martlet "$@"', empty]
        assert run(*alone, "--version").strip() == version, "alone in an empty root"
    # Drivers that are there would end a static program that loaded them.
    devices = subprocess.run([path, "devices"], capture_output=True, text=True)
    assert devices.returncode == 1 and "is static and cannot load libvulkan.so.1" in devices.stdout, devices
    port, start = free_port(), time.time()
    with serving([path, "serve", "--model", MODEL, "--adapters", ADAPTERS, "--port", str(port), *SMALL], port):
        status, answer = request(port, "POST", "/v1/completions", {"model": "pirate", "prompt": "Rain", "max_tokens": 1})
        assert status == 200, answer
        first = time.time() - start
    return f"{version}, {size(path)}, static, alone in an empty root; {first:.1f} s from start to first token"


CLIENT = """
import sys, time
import martlet

model, adapters, began = sys.argv[1], sys.argv[2], float(sys.argv[3])
with martlet.Server(model, adapters, kv_memory="64MiB", context_length=512, served_model_name=["base", "other"]) as server:
    client = server.client
    assert next(client.stream("pirate", "What is rain?", max_tokens=8)), "a stream, left after its first piece"
    print(time.time() - began)
    answer = client.chat("pirate", "What is rain?", max_tokens=8, temperature=0)
    assert answer.text and answer.completion_tokens == 8 and answer.finish_reason == "length", answer
    assert "".join(client.stream("pirate", "What is rain?", max_tokens=8, temperature=0)) == answer.text
    assert client.complete("base", "Rain is", max_tokens=3).completion_tokens == 3
    assert [round(sum(x * x for x in v), 3) for v in client.embed("base", ["rain", "snow"])] == [1, 1]
    assert {"pirate", "shout"} <= {a.name for a in client.adapters()}
    for status, code, call in [
            (404, "model_not_found", lambda: client.chat("nobody", "Hello")),
            (400, "unsupported_parameter", lambda: list(client.stream("base", "Hello", nonsense=1))),
            (403, "admin_key_required", lambda: client.remove_adapter("pirate"))]:
        try: call()
        except martlet.MartletError as error: assert (error.status, error.code) == (status, code) and error.message, error
        else: raise AssertionError(code)
assert server.process.returncode == 0, server.log

import os, tempfile
with tempfile.TemporaryDirectory() as folder:
    keys = os.path.join(folder, "keys")
    with open(keys, "w") as file: file.write("admin: secret-of-an-admin\\n")
    with martlet.Server(model, kv_memory="64MiB", context_length=512, api_key_file=keys, api_key="secret-of-an-admin") as server:
        adapter = server.client.put_adapter("p/1", os.path.join(adapters, "pirate"))
        assert adapter.name == "p/1" and [a.name for a in server.client.adapters()] == ["p/1"], adapter
        server.client.remove_adapter("p/1")
        assert server.client.adapters() == []
for wrong in {"model": "/nowhere"}, {"model": model, "no_such_option": 1}:
    try: martlet.Server(**wrong)
    except martlet.MartletError as error: assert error.code == "not_started" and error.status is None, error
    else: raise AssertionError(wrong)
try: client.chat("base", "Hello")
except martlet.MartletError as error: assert error.code == "unreachable", error
"""


def check_wheel():
    """From `pip install` to a first token, without a compiler or a network; then all of the client."""
    wheel = only("martlet-*.whl")
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", f"{folder}/venv")
        # Nothing that could compile is in reach.
        environment = {"PATH": f"{folder}/venv/bin", "HOME": folder, "LANG": "C.UTF-8"}
        began = time.time()
        run(f"{folder}/venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", wheel, env=environment)
        installed = time.time() - began
        first = float(run(f"{folder}/venv/bin/python", "-c", CLIENT, MODEL, ADAPTERS, str(began), env=environment))
        assert first < LONGEST, f"{first:.1f} s to a first token"
        program = f"{folder}/venv/bin/martlet"
        with open(program, "rb") as a, open(only("martlet-*-linux-x86_64"), "rb") as b:
            assert hashlib.sha256(a.read()).digest() == hashlib.sha256(b.read()).digest(), "the command is the program itself"
        assert subprocess.run([program, "serve", "--no-such-option"], capture_output=True).returncode == 64, "its exit status is the program's"
        assert run(f"{folder}/venv/bin/python", "-m", "martlet", "--version") == run(program, "--version")
        port = free_port()
        with serving([f"{folder}/venv/bin/python", "-m", "martlet", "serve", "--model", MODEL, "--port", str(port), *SMALL], port): pass
    return f"{size(wheel)}; {installed:.1f} s to install, {first:.1f} s from pip install to the first token; every call of the client"


def check_units(root):
    """The units are right, with the examples' additions too, as far as systemd can tell without starting them; what it thinks of their exposure."""
    scores = []
    for path in sorted(glob.glob(f"{root}/usr/lib/systemd/system/*.service")):
        with open(path) as file: text = file.read()
        with tempfile.TemporaryDirectory() as folder:
            unit = os.path.join(folder, os.path.basename(path))
            with open(unit, "w") as file: file.write(text.replace("/usr/bin/martlet", f"{root}/usr/bin/martlet"))
            os.makedirs(f"{folder}/martlet-serve.service.d")
            for example in glob.glob(f"{root}/usr/share/doc/martlet/examples/*.conf"):
                with open(example) as file: added = file.read().replace("/usr/local/bin/martlet", f"{root}/usr/bin/martlet")
                with open(f"{folder}/martlet-serve.service.d/{os.path.basename(example)}", "w") as file: file.write(added)
            told = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
            assert told.returncode == 0 and os.path.basename(path) not in told.stderr, told.stderr
            shutil.rmtree(f"{folder}/martlet-serve.service.d")
            scores.append(re.search(r"exposure level for (\S+): ([0-9.]+)", run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)).groups())
    return ", ".join(" ".join(s) for s in scores)


def check_configuration(text):
    """What comments show are options."""
    options = re.findall(r"(?m)^  --([a-z-]+)", run(only("martlet-*-linux-x86_64"), "help", "serve"))
    for name in re.findall(r"(?m)^#?([a-z-]+):", text): assert name in options, f"martlet.yaml: {name}"


def configure(path, **options):
    with open(path) as file: text = file.read()
    for name, value in options.items():
        name = name.replace("_", "-")
        text, count = re.subn(rf"(?m)^#?{name}: .*$", f"{name}: {value}", text)
        assert count == 1, f"martlet.yaml has {name} {count} times"
    with open(path, "w") as file: file.write(text)


def check_package():
    """Installed by dpkg into an empty root: its units, its configuration, and a server with that, as nobody."""
    package = only("martlet_*.deb")
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        for folder in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "var/cache/martlet"): os.makedirs(f"{root}/{folder}")
        open(f"{root}/var/lib/dpkg/status", "w").close()
        run("dpkg", f"--root={root}", "--install", package)
        assert not run("dpkg", f"--root={root}", "--verify", "martlet")
        scores = check_units(root)
        configuration = f"{root}/etc/martlet/martlet.yaml"
        with open(configuration) as file: check_configuration(file.read())
        shutil.chown(f"{root}/var/cache/martlet", "nobody", "nogroup")
        command = [f"{root}/usr/bin/martlet", "serve", "--config", configuration]
        nobody = {"user": "nobody", "group": "nogroup", "extra_groups": [], "env": {"XDG_CACHE_HOME": f"{root}/var/cache"}}
        told = subprocess.run(command, capture_output=True, text=True, **nobody)
        assert told.returncode == 64 and "Which model?" in told.stderr, f"as it comes: {told}"
        os.makedirs(f"{root}/srv"); shutil.copy(MODEL, f"{root}/srv/base.gguf")
        port = free_port()
        configure(configuration, model=f"{root}/srv/base.gguf", adapters=ADAPTERS, port=port, kv_memory="64MiB", context_length=512, host_memory="256MiB", log_format="json")
        with serving(command, port, **nobody) as process:
            status, answer = request(port, "POST", "/v1/completions", {"model": "pirate", "prompt": "Rain", "max_tokens": 2})
            assert status == 200, answer
            assert os.stat(f"/proc/{process.pid}").st_uid == pwd.getpwnam("nobody").pw_uid
        assert os.listdir(f"{root}/var/cache/martlet"), "packs are kept"
        run("dpkg", f"--root={root}", "--install", package)
        with open(configuration) as file: assert str(port) in file.read(), "an upgrade leaves the configuration alone"
        run("dpkg", f"--root={root}", "--purge", "martlet")
        assert not os.path.exists(configuration)
    told = "lintian is not installed"
    if shutil.which("lintian"):
        run("lintian", "--allow-root", "--fail-on", "error,warning", package)
        told = "lintian has nothing to say"
    return f"{size(package)}; exposure of {scores}; served as nobody with its configuration; {told}"


def check_pages():
    """bash takes what the package has for it, and man finds nothing to warn of."""
    with tempfile.TemporaryDirectory() as root:
        run("dpkg-deb", "-x", only("martlet_*.deb"), root)
        run("bash", "-n", f"{root}/usr/share/bash-completion/completions/martlet")
        pages = glob.glob(f"{root}/usr/share/man/man1/*.gz")
        for page in pages if shutil.which("man") else []:
            told = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", page], capture_output=True, text=True)
            assert told.stdout and not told.stderr, f"{page}: {told.stderr}"
    return f"{len(pages)} of the manual"


CHECKS = {"program": check_program, "wheel": check_wheel, "Debian package": check_package, "pages": check_pages}


def main():
    failed = 0
    for name, check in CHECKS.items():
        start = time.time()
        try: print(f"ok      {name}: {check()}  ({time.time() - start:.1f} s)", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:3000]}", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()

"""What the checks of the adapter cache share: servers, adapters, and what each adapter answers.

Needs nothing but Python; the check of S3 is skipped without moto[server]. The adapters are random, made here, for
SmolLM2-135M. What each of them answers is learnt at first from a server that has all of them in memory and no disk
cache; after that every answer must have the same bits. KILLS (25) and SWAPS (100) are for longer runs.
"""
import concurrent.futures as futures, glob, http.client, json, os, random, re, shutil, signal, socket, sqlite3, struct, subprocess, sys, tempfile, time, urllib.parse
from types import SimpleNamespace

import sources

MARTLET, MODEL = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
KILLS, SWAPS = int(os.environ.get("KILLS", "25")), int(os.environ.get("SWAPS", "100"))
FOLDER = os.path.realpath(tempfile.mkdtemp())  # of the whole run
LIBRARY, KEYS = os.path.join(FOLDER, "library"), os.path.join(FOLDER, "keys")
ADMIN, USER = "admin-key-1234", "user-key-1234"
# The web servers below are on this machine and speak plain http.
LOCAL = ["--plain-http-sources", "--source-host", "127.0.0.1", "--local-source-host", "127.0.0.1"]
SMALL = ["--context-length", "2048", "--max-sequences", "32", "--kv-memory", "256MiB", "--prefix-memory", "32MiB"]
PROMPT = [random.Random(1).randrange(100, 40000) for _ in range(24)]
LONG = [random.Random(2).randrange(100, 40000) for _ in range(160)]
CHECKS, POOL, BIG, KNOWN = [], [], [], {}  # all adapters, those of the largest rank, by digest


class Skipped(Exception): pass


def check(function):
    CHECKS.append(function)
    return function


def fresh(): return tempfile.mkdtemp(dir=FOLDER)
def clean_environment(): return {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "AWS_", "MARTLET_"))}


class Server:
    def __init__(self, *options, cache=None, env={}, home=None, waits=True, restore_signals=True):
        self.port, self.has_ended, self.home = sources.free_port(), False, home or fresh()
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log", dir=FOLDER, delete=False)
        places = {"HOME": self.home, "XDG_CACHE_HOME": self.home, "TMPDIR": self.home}
        self.process = subprocess.Popen(Server.command(self.port, cache, *options), cwd=self.home, stdout=self.log, stderr=self.log, env={**clean_environment(), **places, **env}, restore_signals=restore_signals)
        if waits: self.wait()

    @staticmethod
    def command(port, cache, *options):
        return [MARTLET, "serve", "--model", MODEL, "--served-model-name", "base", "--port", str(port), "--api-key-file", KEYS, "--disk-cache", cache or "none", *SMALL, *options]

    def wait(self):
        for _ in range(1200):
            if self.process.poll() is not None: raise RuntimeError("the server ended: " + self.text()[-2000:])
            try:
                if self.request("GET", "/ready")[0] == 200: return
            except OSError: pass
            time.sleep(0.05)
        self.kill()
        raise RuntimeError("the server does not become ready: " + self.text()[-2000:])

    def text(self): return open(self.log.name, errors="replace").read()
    def __enter__(self): return self

    def __exit__(self, failure, *_):
        if failure and self.process.poll() is not None and not self.has_ended: print("    the server had ended: " + self.text()[-2000:])
        if failure: self.kill()
        if self.has_ended: return
        code = self.stop()
        assert code == 0, f"the server ended with {code}: {self.text()[-2000:]}"

    def stop(self, timeout=60):
        self.has_ended = True
        self.process.send_signal(signal.SIGTERM)
        try: return self.process.wait(timeout)
        except subprocess.TimeoutExpired: self.kill(); raise

    def kill(self):
        self.has_ended = True
        self.process.kill(); self.process.wait()

    # Requests.

    def request(self, method, path, body=None, key=ADMIN, timeout=120):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})})
            response = connection.getresponse()
            text = response.read()
            try: return response.status, json.loads(text)
            except ValueError: return response.status, text.decode(errors="replace")
        finally: connection.close()

    def place(self, name): return "/admin/adapters/" + urllib.parse.quote(name, safe="/:@")
    def put(self, name, source=None, **more): return self.request("PUT", self.place(name), {**({"source": source} if source else {}), **more})
    def delete(self, name): return self.request("DELETE", self.place(name))
    def act(self, name, action): return self.request("POST", f"{self.place(name)}/{action}")
    def entry(self, name): return self.request("GET", self.place(name))[1]
    def entries(self): return {e["name"]: e for e in self.request("GET", "/admin/adapters")[1]["adapters"]}
    def tiers(self): return self.request("GET", "/admin/tiers")[1]
    def models(self): return [m["id"] for m in self.request("GET", "/v1/models")[1]["data"]]

    def metric(self, name):
        """0 for what has never been counted."""
        found = re.search(rf"^{name} ([-0-9.e+]+)$", self.request("GET", "/metrics")[1], re.M)
        return float(found[1]) if found else 0

    def ask(self, model, key=ADMIN): return self.request("POST", "/v1/completions", {"model": model, "prompt": PROMPT, "max_tokens": 0, "echo": True, "logprobs": 0}, key)

    def score(self, model, key=ADMIN):
        """The digest that answered, and the prompt's log probabilities."""
        status, r = self.ask(model, key)
        assert status == 200, (model, status, r)
        return r.get("martlet", {}).get("adapter_digest"), r["choices"][0]["logprobs"]["token_logprobs"]

    def write(self, model, stream=False):
        """The digest that answered a long prompt, the text and its log probabilities."""
        status, r = self.request("POST", "/v1/completions", {"model": model, "prompt": LONG, "max_tokens": 4, "temperature": 0, "logprobs": 0, "ignore_eos": True, "stream": stream})
        assert status == 200, (model, status, r)
        if stream: assert r.rstrip().endswith("data: [DONE]"), r[-300:]
        parts = [json.loads(l[6:]) for l in r.splitlines() if l.startswith("data: {")] if stream else [r]
        assert all("choices" in p for p in parts), r
        heads = {(p["martlet"]["adapter_digest"], p["system_fingerprint"]) for p in parts}
        assert len(heads) == 1, f"one response from several adapters: {heads}"
        digest, fingerprint = heads.pop()
        assert fingerprint == "fp_" + digest[:12], fingerprint
        choices = [c for p in parts for c in p["choices"]]
        return digest, "".join(c["text"] for c in choices), sum((c["logprobs"]["token_logprobs"] for c in choices if c["logprobs"]), [])

    def open(self, body):
        """A request that nobody has read the answer of yet."""
        payload = json.dumps(body).encode()
        s = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        s.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload)
        return s


def together(work, items):
    with futures.ThreadPoolExecutor(len(items)) as pool: return list(pool.map(work, items))


def eventually(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition(): return
        time.sleep(0.05)
    raise AssertionError(f"still not after {seconds} s: {what}")


def good(answer):
    status, r = answer
    assert status == 200, (status, r)
    return r


def refused(answer, status, code):
    got, r = answer
    assert got == status and isinstance(r, dict) and r["error"]["code"] == code and r["error"]["message"], f"{got} {r}, expected {status} {code}"


def right(server, name, adapter, key=ADMIN):
    digest, scores = server.score(name, key)
    assert digest == adapter.digest, f"{name} is {KNOWN[digest].name if digest in KNOWN else digest}, expected {adapter.name}"
    assert scores == adapter.scores, f"{name} has the digest of {adapter.name} and answers something else"


def missing(server, name): refused(server.request("GET", server.place(name)), 404, "adapter_not_found")


def demote(server, name):
    """A request gives its adapter back a moment after its answer."""
    eventually(lambda: good_or_in_use(server.act(name, "demote")), f"{name} is demoted")


def good_or_in_use(answer):
    if answer[0] == 200: return True
    refused(answer, 409, "adapter_in_use")


def idle(server):
    eventually(lambda: not any(e["leases"] for e in server.entries().values()) and server.tiers()["waiting"] == 0
               and server.metric("martlet_requests_running") == 0 and server.metric("martlet_requests_waiting") == 0, "no request holds anything")


# MARK: Files

HIGH = bytes(0x3D | byte & 0x80 for byte in range(256))


def numbers(rng, count):
    """bf16 of both signs, from 1/32 to 1/8."""
    data = bytearray(2 * count)
    data[0::2], data[1::2] = rng.randbytes(count), rng.randbytes(count).translate(HIGH)
    return bytes(data)


def make_adapter(folder, seed, rank):
    """A LoRA of q_proj and v_proj, as PEFT saves it."""
    rng, header, pieces, end = random.Random(seed), {}, [], 0
    for layer in range(30):
        for module, outputs in (("q_proj", 576), ("v_proj", 192)):
            for half, shape in (("A", [rank, 576]), ("B", [outputs, rank])):
                pieces.append(numbers(rng, shape[0] * shape[1]))
                header[f"base_model.model.model.layers.{layer}.self_attn.{module}.lora_{half}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + len(pieces[-1])]}
                end += len(pieces[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder)
    with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as file: file.write(struct.pack("<Q", len(text)) + text + b"".join(pieces))
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 8 * rank, "bias": "none", "target_modules": ["q_proj", "v_proj"]}
    with open(os.path.join(folder, "adapter_config.json"), "w") as file: json.dump(config, file)


def copy(adapter, folder):
    """In one step for whoever watches the folder around it."""
    aside = os.path.join(fresh(), "adapter")
    shutil.copytree(adapter.path, aside)
    os.rename(aside, folder)
    return folder


def rewrite(adapter, folder):
    """One file after the other."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(os.path.join(adapter.path, name), os.path.join(folder, name + ".new"))
        os.replace(os.path.join(folder, name + ".new"), os.path.join(folder, name))


def inside(cache, place): return [os.path.basename(p) for p in glob.glob(f"{cache}/*/{place}/*")]
def pack(cache, adapter): return glob.glob(f"{cache}/*/packs")[0] + f"/{adapter.digest}.pack"
def pack_size(adapter): return adapter.bytes + 8192  # the header


def rows(cache):
    """Digests that the catalog of a running server has."""
    connection = sqlite3.connect(f"file:{glob.glob(f'{cache}/*/catalog')[0]}?mode=ro", uri=True, timeout=10)
    try: return {digest for digest, in connection.execute("SELECT digest FROM adapter")}
    finally: connection.close()


def tidy(cache):
    """Nothing half-done, nothing that nobody knows."""
    eventually(lambda: not inside(cache, "staging"), "staging is empty")
    eventually(lambda: all(p.endswith(".pack") for p in inside(cache, "packs")), "there are whole packs only")
    eventually(lambda: {p[:-5] for p in inside(cache, "packs")} <= rows(cache), "the catalog knows every pack")
    strange = {os.path.basename(p) for p in glob.glob(f"{cache}/*/*")} - {"lock", "catalog", "catalog-wal", "catalog-shm", "catalog-journal", "packs", "staging", "quarantine"}
    assert not strange, strange


def damage(path, at=-1000):
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR); file.write(bytes([byte[0] ^ 0x10]))


def learn():
    """Makes the adapters and notes what each answers."""
    open(KEYS, "w").write(f"user: {USER}\nadmin: {ADMIN}\n")
    for i in range(40): make_adapter(os.path.join(LIBRARY, f"a{i:02d}"), i, 2 + i % 7)
    with Server("--adapters", LIBRARY) as server:
        for name in sorted(os.listdir(LIBRARY)):
            digest, scores = server.score(name)
            POOL.append(SimpleNamespace(name=name, path=os.path.join(LIBRARY, name), digest=digest, scores=scores))
            KNOWN[digest] = POOL[-1]
        entries = server.entries()
        for adapter in POOL: adapter.bytes = entries[adapter.name]["bytes"]
        assert all(e["tier"] in ("host", "device") for e in entries.values()), "not everything fits in memory"
        BIG.extend(POOL[6::7])
        assert {a.bytes for a in BIG} == {max(a.bytes for a in POOL)}
        for adapter in BIG[:2]: adapter.written = server.write(adapter.name)[1:]
        all_scores = [server.score("base")[1]] + [a.scores for a in POOL]
    apart = min(sum(abs(x - y) for x, y in zip(p[1:], q[1:])) / (len(p) - 1) for i, p in enumerate(all_scores) for q in all_scores[:i])
    assert apart > 0.001, f"two adapters answer nearly the same: {apart}"
    assert BIG[0].written[0] != BIG[1].written[0], BIG[0].written

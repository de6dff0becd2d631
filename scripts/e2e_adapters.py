#!/usr/bin/env python3
"""Drives the adapter cache of the real server with the real model: scripts/e2e_adapters.py MARTLET MODEL.gguf [check …]

Needs nothing but Python; the check of S3 is skipped without moto[server]. The adapters are random, made here, for
SmolLM2-135M. What each of them answers is learnt at first from a server that has all of them in memory and no disk
cache; after that every answer must have the same bits. KILLS (25) and SWAPS (100) are for longer runs.
"""
import bisect, concurrent.futures as futures, errno, glob, hashlib, http.client, json, os, pathlib, random, re, resource, shutil, signal, socket, sqlite3, struct, subprocess, sys, tempfile, threading, time, urllib.parse
from types import SimpleNamespace

import e2e_sources as sources, fake_hub

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


# MARK: Memory

@check
def tight_memory_gives_right_answers():
    budget = 6 * BIG[0].bytes
    chosen = random.Random(1).choices(POOL, [(i + 1) ** -0.3 for i in range(len(POOL))], k=300)
    highest, over = [0], threading.Event()
    with Server("--adapters", LIBRARY, "--host-memory", str(budget), cache=fresh()) as server:
        def watch():
            while not over.wait(0.05): highest[0] = max(highest[0], server.tiers()["host"]["bytes"], server.metric("martlet_adapter_bytes_host"))
        watcher = threading.Thread(target=watch); watcher.start()
        try:
            with futures.ThreadPoolExecutor(16) as pool: list(pool.map(lambda a: right(server, a.name, a), chosen))
        finally: over.set(); watcher.join()
        hits, misses, evictions = (server.metric(f"martlet_adapter_{n}_total") for n in ("hits", "misses", "evictions"))
        print(f"    {hits:.0f} hits, {misses:.0f} misses, {evictions:.0f} evictions, at most {highest[0] / budget:.0%} of the budget")
        assert 0 < highest[0] <= budget, (highest, budget)
        assert evictions > 0
        idle(server)


@check
def who_waits_for_room_gets_what_is_freed():
    a, b, c = BIG[:3]
    with Server("--host-memory", str(2 * a.bytes), cache=fresh()) as server:
        for name, adapter in zip("abc", (a, b, c)): good(server.put(name, adapter.path))
        for name in "ab": good(server.act(name, "warm")); good(server.act(name, "pin"))
        def freed(change, name, adapter):
            with futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(right, server, name, adapter)
                try: eventually(lambda: server.tiers()["waiting"] == 1, f"{name} waits for room")
                finally: good(change())
                asked.result()
        leaver = server.open({"model": "c", "prompt": "Hi", "max_tokens": 1})
        eventually(lambda: server.tiers()["waiting"] == 1, "c waits for room")
        leaver.close()
        eventually(lambda: server.tiers()["waiting"] == 0, "nobody waits who has left")
        freed(lambda: server.act("a", "unpin"), "c", c)
        good(server.act("c", "pin"))
        freed(lambda: server.delete("b"), "a", a)
        idle(server)


@check
def a_replaced_name_takes_its_pin_along():
    with Server("--host-memory", str(2 * BIG[0].bytes), cache=fresh()) as server:
        for number, adapter in enumerate(BIG[:4]):
            good(server.put("x", adapter.path))
            right(server, "x", adapter)
            if number == 0: good(server.act("x", "pin"))
        assert server.entry("x")["pinned"] is True
        refused(server.act("x", "demote"), 409, "adapter_in_use")
        good(server.put("y", POOL[0].path))
        right(server, "y", POOL[0])


# MARK: The disk

@check
def everything_survives_a_restart():
    cache, folder = fresh(), fresh()
    keeps = ("name", "source", "revision", "digest", "pinned", "rank", "modules", "bytes", "created", "updated", "fault")
    with Server(cache=cache) as server:
        for name, adapter in (("x", BIG[0]), ("y", POOL[1]), ("z", POOL[2])): good(server.put(name, copy(adapter, os.path.join(folder, name))))
        good(server.act("x", "pin")); good(server.delete("z"))
        for _ in range(5): right(server, "x", BIG[0]); right(server, "y", POOL[1])
        before = server.entries()
        assert sorted(inside(cache, "packs")) == sorted(a.digest + ".pack" for a in (BIG[0], POOL[1])), inside(cache, "packs")
    files = lambda: [(os.stat(pack(cache, a)).st_ino, os.stat(pack(cache, a)).st_mtime_ns) for a in (BIG[0], POOL[1])]
    written = files()
    shutil.rmtree(folder)
    with Server(cache=cache) as server:
        after = server.entries()
        assert [[e[k] for k in keeps] for e in before.values()] == [[e[k] for k in keeps] for e in after.values()], (before, after)
        assert all(after[n][k] >= before[n][k] > 0 for n in "xy" for k in ("hits", "loads", "last_use")), (before, after)
        right(server, "x", BIG[0]); right(server, "y", POOL[1])
        assert server.metric("martlet_adapter_pack_seconds_count") == 0, "something was packed again"
        assert files() == written, "a pack was written again"
        refused(server.act("x", "demote"), 409, "adapter_in_use")
        good(server.delete("x"))
    with Server(cache=cache) as server:
        assert list(server.entries()) == ["y"] and inside(cache, "packs") == [POOL[1].digest + ".pack"]
        right(server, "y", POOL[1])
        refused(server.ask("x"), 404, "model_not_found")
        tidy(cache)


class Writer(threading.Thread):
    """Changes names of its own until the server dies. `truth` is what was acknowledged, `pending` what was not yet: a
    number in the pool and whether it is pinned, or None.
    """

    def __init__(self, server, seed, names, truth):
        super().__init__()
        self.server, self.rng, self.names, self.truth, self.pending, self.wrong, self.count = server, random.Random(seed), names, truth, {}, [], 0

    def run(self):
        while not self.wrong:
            name, action = self.rng.choice(self.names), self.rng.choice(["put"] * 6 + ["delete", "delete", "pin", "unpin", "demote", "verify", "warm"])
            before = after = self.truth.get(name)
            if action == "put": after = (self.rng.randrange(8), before[1] if before else False)
            elif action == "delete": after = None
            elif before and action in ("pin", "unpin"): after = (before[0], action == "pin")
            self.pending[name] = after
            try:
                if action == "put": status, r = self.server.put(name, POOL[after[0]].path)
                elif action == "delete": status, r = self.server.delete(name)
                else: status, r = self.server.act(name, action)
            except (OSError, http.client.HTTPException): return
            if status == 200: self.truth[name] = after; self.count += 1
            elif not (status == 404 and before is None or status == 409 and action == "demote"): self.wrong.append((name, action, before, status, r))
            del self.pending[name]


class Reader(threading.Thread):
    """Asks for names until the server dies; whatever is answered must be right."""

    def __init__(self, server, seed, names):
        super().__init__()
        self.server, self.rng, self.names, self.wrong = server, random.Random(seed), names, []

    def run(self):
        while not self.wrong:
            name = self.rng.choice(self.names)
            try: status, r = self.server.ask(name)
            except (OSError, http.client.HTTPException): return
            if status == 404: continue  # removed, or pushed out while it was replaced
            if status != 200: self.wrong.append((name, status, r)); return
            adapter = KNOWN.get(r["martlet"]["adapter_digest"])
            if not adapter or r["choices"][0]["logprobs"]["token_logprobs"] != adapter.scores: self.wrong.append((name, r))


@check
def kill_nine_at_random_points():
    rng, cache, truth = random.Random(3), fresh(), {}
    # Room for five packs of eight, so that they push each other out.
    options = ["--disk-quota", str(5 * pack_size(BIG[0]))]
    names = [[f"w{w}/{n}" for n in "abc"] for w in range(2)]
    number, changes = {a.digest: i for i, a in enumerate(POOL)}, 0
    server = Server(*options, cache=cache)
    try:
        for round in range(KILLS):
            writers = [Writer(server, rng.random(), n, truth) for n in names]
            threads = writers + [Reader(server, rng.random(), sum(names, []))]
            for t in threads: t.start()
            time.sleep(rng.uniform(0.05, 0.8))
            server.kill()
            for t in threads: t.join()
            wrong = sum((t.wrong for t in threads), [])
            assert not wrong, wrong[:3]
            changes += sum(w.count for w in writers)
            pending = {**writers[0].pending, **writers[1].pending}
            if rng.random() < 0.2:  # also while it starts
                server = Server(*options, cache=cache, waits=False)
                time.sleep(rng.uniform(0.02, 0.8)); server.kill()
            server = Server(*options, cache=cache)
            entries = server.entries()
            for name in sum(names, []):
                entry, was = entries.pop(name, None), truth.get(name)
                found = entry and (number.get(entry["digest"]), entry["pinned"])
                assert found in [was, pending.get(name, was)], f"round {round}: {name} is {entry}, acknowledged was {was}, under way {pending.get(name, 'nothing')}"
                truth[name] = found
            assert not entries, f"round {round}: nobody has put {entries}"
            for name, state in truth.items():
                if state: right(server, name, POOL[state[0]])
            tidy(cache)
            assert not inside(cache, "quarantine"), f"round {round}: a pack was damaged"
        print(f"    {KILLS} kills, {changes} changes acknowledged")
        assert changes > KILLS, changes
        for name, state in truth.items():
            if state: good(server.delete(name))
        assert server.stop() == 0, server.text()[-2000:]
        server = Server(*options, cache=cache)
        assert not server.entries(), server.entries()
        tidy(cache)
        kept = {p[:-5] for p in inside(cache, "packs")}
        assert kept <= {a.digest for a in POOL[:8]}, kept  # what names stood for before they were replaced
        assert server.stop() == 0, server.text()[-2000:]
    finally: server.kill()


@check
def damaged_packs_are_made_again():
    cache, folder = fresh(), fresh()
    a, b = BIG[:2]
    source = copy(a, os.path.join(folder, "a"))
    with Server(cache=cache) as server:
        good(server.put("x", source)); good(server.put("y", b.path)); right(server, "x", a); right(server, "y", b)
        path = pack(cache, a)
        def harm(how):
            demote(server, "x")
            assert server.entry("x")["tier"] == "disk", server.entry("x")
            how()
        def link(): os.rename(path, path + ".away"); os.symlink(path + ".away", path)
        for count, how in enumerate((lambda: damage(path), lambda: damage(path, 100), lambda: os.truncate(path, 5000), lambda: os.truncate(path, 0), link), 1):
            harm(how)
            right(server, "x", a)
            assert inside(cache, "quarantine") == [f"{a.digest}.pack"], inside(cache, "quarantine")
            assert server.metric("martlet_adapter_packs_damaged_total") == count
            assert os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) == pack_size(a)
        os.remove(path + ".away")
        harm(lambda: os.remove(path))
        right(server, "x", a)
        assert good(server.act("x", "verify"))["whole"] is True
        damage(path)
        assert good(server.act("x", "verify"))["whole"] is False
        assert good(server.act("x", "verify"))["whole"] is True
        # Neither whole nor to be had again: refused, and nothing else in its place.
        os.rename(source, source + ".away")
        harm(lambda: damage(path))
        refused(server.ask("x"), 404, "source_not_found")
        refused(server.ask("x"), 404, "source_not_found")
        refused(server.act("x", "verify"), 404, "source_not_found")
        copy(b, source)
        refused(server.ask("x"), 409, "adapter_changed")
        right(server, "y", b)
        assert server.score("base")[0] is None
        shutil.rmtree(source); os.rename(source + ".away", source)
        right(server, "x", a)
        assert good(server.act("x", "verify"))["whole"] is True
        # A source that changed does not come in through the back door either.
        damage(path); rewrite(b, source)
        server.act("x", "verify")
        assert server.entry("x")["digest"] == a.digest
        idle(server); tidy(cache)


class SmallDisk:
    """A place for a cache that can be full. Where this process may mount one, it is a file system of its own. Elsewhere the
    server's files are limited in size, beyond which writing fails too, if with another error; its log is small enough.
    """

    def __enter__(self):
        self.place = fresh()
        self.cache, self.ballast = os.path.join(self.place, "cache"), os.path.join(self.place, "ballast")
        command = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", self.place]
        self.is_mounted = os.geteuid() == 0 and bool(shutil.which("mount")) and subprocess.run(command, capture_output=True).returncode == 0
        if not self.is_mounted: print("    nothing can be mounted here: a limit on the size of files stands for a full disk")
        # How a source is refused that there is no room to copy. A file that may not be as large is none of the disk's faults.
        self.refusal = (507, "unwritable_file") if self.is_mounted else (400, "unreadable_file")
        return self

    def __exit__(self, *_):
        if self.is_mounted: subprocess.run(["umount", "-l", self.place], check=True)

    def fill(self, server, left):
        """Leaves room for so many bytes."""
        if not self.is_mounted: return self.limit(server, max(left, 100_000))
        with open(self.ballast, "ab", buffering=0) as file:
            try:
                while True: file.write(bytes(1 << 16))
            except OSError as error: assert error.errno == errno.ENOSPC, error
            file.truncate(file.tell() - left)

    def clear(self, server): os.remove(self.ballast) if self.is_mounted else self.limit(server, resource.RLIM_INFINITY)

    @staticmethod
    def limit(server, count): resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (count, resource.RLIM_INFINITY))


@check
def a_full_disk_takes_nothing_away():
    hot, cold, small, late = BIG[0], POOL[1], POOL[0], POOL[2]
    with SmallDisk() as disk:
        # Python ignores SIGXFSZ, which would end the server at the limit; so does what it starts like this.
        with Server(cache=disk.cache, restore_signals=False) as server:
            for name, adapter in (("hot", hot), ("cold", cold)): good(server.put(name, adapter.path)); right(server, name, adapter)
            packs = set(inside(disk.cache, "packs"))
            def tells():
                """What was there is served from where it was, and nothing is said to be on the disk that is not."""
                right(server, "hot", hot); right(server, "cold", cold)
                demote(server, "cold")
                assert server.entry("cold")["tier"] == "disk"
                right(server, "cold", cold)
                assert server.score("base")[0] is None and server.request("GET", "/ready")[0] == 200
                assert set(inside(disk.cache, "packs")) == packs and server.tiers()["disk"]["adapters"] == server.metric("martlet_adapters_disk") == 2
                eventually(lambda: not inside(disk.cache, "staging"), "staging is empty")
            # Room for what this source has, 240 KB, and not for its pack of 650.
            disk.fill(server, left=400_000)
            entry = good(server.put("new", small.path))
            assert (entry["digest"], entry["tier"]) == (small.digest, "source"), entry
            right(server, "new", small)
            assert server.entry("new")["tier"] == "host"
            assert server.metric("martlet_adapter_packs_not_stored_total") == 2, "it was read once for its name and once for a request"
            demote(server, "new")
            assert server.entry("new")["tier"] == "source"
            right(server, "new", small)
            tells()
            # No room at all.
            disk.fill(server, left=0)
            refused(server.put("late", late.path), *disk.refusal)
            missing(server, "late")
            right(server, "new", small)
            tells()
            demote(server, "new")
            refused(server.ask("new"), *disk.refusal)
            is_pinned = False
            for _ in range(200):  # with a limit the catalog's log has not reached it yet
                answer = server.act("hot", "unpin" if is_pinned else "pin")
                if answer[0] != 200: break
                is_pinned = not is_pinned
            refused(answer, 507, "catalog_unusable")
            assert server.entry("hot")["pinned"] is is_pinned
            refused(server.delete("cold"), 507, "catalog_unusable")
            refused(server.put("cold", digest=hot.digest), 507, "catalog_unusable")
            tells()
            # Room again: everything goes on by itself.
            disk.clear(server)
            right(server, "new", small)
            demote(server, "new")
            assert server.entry("new")["tier"] == "disk"
            good(server.put("late", late.path)); right(server, "late", late)
            good(server.delete("cold"))
            idle(server); tidy(disk.cache)
            told = [l for l in server.text().splitlines() if re.search(r" (warning|error) ", l)]
        with Server(cache=disk.cache) as server:
            assert sorted(server.entries()) == ["hot", "late", "new"], server.entries()
            for name, adapter in (("hot", hot), ("late", late), ("new", small)): right(server, name, adapter)
            tidy(disk.cache)
    assert any(small.digest[:12] in l or "adapter=new" in l for l in told), f"the log does not say whose pack found no room: {told}"


@check
def a_quota_full_of_pins_costs_only_the_pack():
    a, b = BIG[:2]
    with Server("--disk-quota", str(pack_size(a) + 4096), cache=fresh()) as server:
        good(server.put("a", a.path)); good(server.act("a", "pin")); right(server, "a", a)
        good(server.put("b", b.path)); right(server, "b", b)
        assert server.entry("b")["tier"] == "host" and server.metric("martlet_adapter_packs_not_stored_total") == 2
        demote(server, "b")
        assert server.entry("b")["tier"] == "source"
        right(server, "b", b); right(server, "a", a)
        disk = server.tiers()["disk"]
        assert (disk["adapters"], disk["bytes"]) == (1, pack_size(a)) and disk["bytes"] <= disk["budget"], disk


@check
def a_second_process_is_refused():
    cache = fresh()
    with Server(cache=cache) as server:
        good(server.put("x", BIG[0].path))
        r = subprocess.run(Server.command(sources.free_port(), cache), capture_output=True, text=True, timeout=60)
        assert r.returncode > 0 and "in use by another process" in r.stderr and "--disk-cache" in r.stderr, r
        right(server, "x", BIG[0])
        server.kill()
    with Server(cache=cache) as server: right(server, "x", BIG[0])


# MARK: Names

@check
def a_name_is_replaced_under_load():
    swaps, answers, wrong, over = [], [], [], threading.Event()
    known = {a.digest: (a.digest, *a.written) for a in BIG[:2]}
    with Server(cache=fresh()) as server:
        def swap(number):
            begun, adapter = time.monotonic(), BIG[number % 2]
            entry = good(server.put("x", adapter.path))
            assert entry["digest"] == adapter.digest, entry
            swaps.append((begun, time.monotonic(), adapter.digest))
        def read(number):
            while not over.is_set() and not wrong:
                number += 1
                try:
                    begun = time.monotonic()
                    answer = server.write("x", stream=number % 2 == 0)
                    answers.append((begun, time.monotonic(), answer[0]))
                    if answer != known.get(answer[0]): wrong.append(("neither the one nor the other", answer, known))
                except Exception as error: wrong.append(repr(error))
        swap(0)
        readers = [threading.Thread(target=read, args=(i,)) for i in range(8)]
        for t in readers: t.start()
        try:
            for number in range(1, SWAPS + 1):
                swap(number)
                # Nobody else swaps, so this one begins after the swap and ends before the next.
                answer = server.write("x", stream=number % 2 == 0)
                assert answer == known[BIG[number % 2].digest], f"swap {number}: {answer}, expected {known[BIG[number % 2].digest]}"
                if wrong: break
        finally:
            over.set()
            for t in readers: t.join()
        assert not wrong, wrong[:2]
        acknowledged = [s[1] for s in swaps]
        for begun, ended, digest in answers:
            last = bisect.bisect_right(acknowledged, begun) - 1
            allowed = {swaps[last][2]} | {s[2] for s in swaps[last + 1:] if s[0] <= ended}
            assert digest in allowed, f"a request got {digest} after that was replaced"
        found = server.metric("martlet_prefix_tokens_found_total")
        print(f"    {SWAPS} swaps, {len(answers)} answers beside them, {found:.0f} prompt tokens shared")
        assert len({d for _, _, d in answers}) == 2 and found > 0
        idle(server)


@check
def compare_and_swap_refuses_lost_updates():
    cache = fresh()
    with Server(cache=cache) as server:
        refused(server.put("x", POOL[0].path, if_digest=POOL[0].digest), 409, "adapter_changed")  # there is no x
        missing(server, "x")
        good(server.put("x", POOL[0].path))
        assert good(server.put("x", POOL[1].path, if_digest=POOL[0].digest))["digest"] == POOL[1].digest
        refused(server.put("x", POOL[2].path, if_digest=POOL[0].digest), 409, "adapter_changed")
        refused(server.put("x", digest=POOL[0].digest, if_digest=POOL[0].digest), 409, "adapter_changed")
        right(server, "x", POOL[1])
        current = POOL[1]
        for round in range(5):
            rivals = [POOL[2 + 6 * round + i] for i in range(6)]
            results = together(lambda a: server.put("x", a.path, if_digest=current.digest), rivals)
            winners = [a for a, (status, _) in zip(rivals, results) if status == 200]
            assert len(winners) == 1, results
            for a, answer in zip(rivals, results):
                if a is not winners[0]: refused(answer, 409, "adapter_changed")
            current = winners[0]
            right(server, "x", current)
        server.kill()
    with Server(cache=cache) as server:
        assert server.entry("x")["digest"] == current.digest
        right(server, "x", current)
        tidy(cache)


@check
def rollback_by_digest():
    cache, folder = fresh(), fresh()
    one, two = BIG[:2]
    with Server(cache=cache) as server:
        good(server.put("x", copy(one, os.path.join(folder, "one")))); right(server, "x", one)
        good(server.put("x", copy(two, os.path.join(folder, "two")))); right(server, "x", two)
        shutil.rmtree(os.path.join(folder, "one"))
        refused(server.put("x", digest="0" * 64), 404, "adapter_not_found")
        refused(server.put("x", digest=one.digest, if_digest=one.digest), 409, "adapter_changed")
        assert good(server.put("x", digest=one.digest, if_digest=two.digest))["digest"] == one.digest
        right(server, "x", one)
        demote(server, "x"); right(server, "x", one)
        good(server.put("y", digest=two.digest)); right(server, "y", two)
    with Server(cache=cache) as server:
        right(server, "x", one); right(server, "y", two)
        good(server.put("y", digest=one.digest)); right(server, "y", one)
        good(server.delete("x")); right(server, "y", one)  # an adapter goes with its last name
        demote(server, "y"); right(server, "y", one)
        good(server.delete("y"))
        eventually(lambda: f"{one.digest}.pack" not in inside(cache, "packs"), "the pack of a removed adapter is gone")
        refused(server.put("y", digest=one.digest), 404, "adapter_not_found")
        assert server.entries() == {}
        tidy(cache)


@check
def a_rollback_outlives_the_quota():
    with Server("--disk-quota", str(3 * pack_size(BIG[0]) + 4096), cache=fresh()) as server:
        good(server.put("x", BIG[0].path)); good(server.put("x", BIG[1].path))
        good(server.put("x", digest=BIG[0].digest))  # its source is something else by now
        for adapter in BIG[2:5]: good(server.put(adapter.name, adapter.path))
        right(server, "x", BIG[0])
        for adapter in BIG[2:5]: right(server, adapter.name, adapter)


@check
def a_reading_that_comes_late_undoes_nothing():
    for change in ("replaced", "removed"):
        cache, hold = fresh(), sources.Hold()
        with sources.Web(LIBRARY) as web:
            web.acts["/a00/adapter_model.safetensors"] = hold
            # The server reads ahead what it is given.
            with Server(*LOCAL, "--adapter", f"x={web.url}/a00/", cache=cache) as server:
                assert hold.reached.wait(20), "the source was not asked"
                if change == "removed": good(server.delete("x"))
                else: good(server.put("x", BIG[0].path))
                hold.let_go.set()
                eventually(lambda: server.metric("martlet_adapter_pack_seconds_count") == (1 if change == "removed" else 2), "the late one was packed")
                eventually(lambda: not inside(cache, "staging"), "staging is empty")
                if change == "replaced": right(server, "x", BIG[0])
                else:
                    refused(server.ask("x"), 404, "model_not_found")
                    time.sleep(0.3)
                    rest = server.tiers()["host"]["adapters"], inside(cache, "packs")
        with Server(cache=cache) as server:
            if change == "removed": assert server.entries() == {}, f"removed and back: {server.entries()}"
            else: right(server, "x", BIG[0])
            tidy(cache)
        if change == "removed": assert rest == (0, []), f"an adapter without a name takes room: {rest}"


# MARK: Folders

def follows(server, name, adapter):
    """Until a name means an adapter; what it says before must be right, too."""
    def is_there():
        status, r = server.ask(name)
        if status != 200: return False
        found = KNOWN[r["martlet"]["adapter_digest"]]
        assert r["choices"][0]["logprobs"]["token_logprobs"] == found.scores, f"{name} answers what no adapter does"
        return found is adapter
    eventually(is_there, f"{name} is {adapter.name}")


@check
def watched_folder():
    watched = fresh()
    place = lambda name: os.path.join(watched, name)
    copy(POOL[0], place("one"))
    with Server("--adapters", watched, cache=fresh()) as server:
        right(server, "one", POOL[0])
        copy(POOL[1], place("two")); os.mkdir(place("not-an-adapter")); open(place("file"), "w").close()
        follows(server, "two", POOL[1])
        rewrite(POOL[2], place("one"))  # of another rank: for a moment the files do not go together
        follows(server, "one", POOL[2])
        os.rename(place("two"), os.path.join(fresh(), "old")); copy(BIG[0], place("two"))
        follows(server, "two", BIG[0])
        rewrite(BIG[1], place("two"))  # of the same size
        follows(server, "two", BIG[1])
        shutil.rmtree(place("one"))
        eventually(lambda: server.ask("one")[0] == 404, "one is gone")
        assert sorted(server.models()) == ["base", "two"], server.models()
        # A name that was rolled back stays where it is, whatever its folder does.
        good(server.put("two", digest=BIG[0].digest))
        rewrite(POOL[3], place("two")); copy(POOL[4], place("three"))
        follows(server, "three", POOL[4])
        right(server, "two", BIG[0])


@check
def a_refused_adapter_stays_refused():
    watched = fresh()
    broken = copy(POOL[0], os.path.join(watched, "broken"))
    os.truncate(os.path.join(broken, "adapter_model.safetensors"), 5000)
    with Server("--adapters", watched, cache=fresh()) as server:
        assert server.entry("broken")["fault"], server.entry("broken")
        status, r = server.ask("broken")
        assert status == 400 and r["error"]["code"] in ("malformed_file", "adapter_refused"), (status, r)
        copy(POOL[1], os.path.join(watched, "later"))
        eventually(lambda: "later" in server.models(), "the folder was looked at again")
        assert server.entry("broken")["fault"], "nothing has changed, and the fault is forgotten"
        rewrite(POOL[2], broken)
        follows(server, "broken", POOL[2])


@check
def odd_folders_do_no_harm():
    watched, cache = fresh(), fresh()
    copy(POOL[0], os.path.join(watched, "good"))
    for name in (".being-copied", "with space", "x" * 220): copy(POOL[1], os.path.join(watched, name))
    with Server("--adapters", watched, cache=cache) as server:
        right(server, "good", POOL[0])
        copy(POOL[2], os.path.join(watched, "base")); copy(POOL[3], os.path.join(watched, ".later"))
        os.symlink("loop", os.path.join(watched, "loop"))
        copy(POOL[4], os.path.join(watched, "z"))
        follows(server, "z", POOL[4])
        assert sorted(server.models()) == ["base", "good", "z"], server.models()
        assert server.score("base")[0] is None


@check
def an_adapter_that_broke_does_not_stop_the_start():
    watched, cache = fresh(), fresh()
    for name, adapter in zip(("short", "half", "whole"), POOL): copy(adapter, os.path.join(watched, name))
    with Server("--adapters", watched, cache=cache) as server:
        for name, adapter in zip(("short", "half", "whole"), POOL): right(server, name, adapter)
    os.truncate(os.path.join(watched, "short/adapter_model.safetensors"), 5000)
    os.remove(os.path.join(watched, "half/adapter_model.safetensors"))
    with Server("--adapters", watched, cache=cache) as server:
        right(server, "whole", POOL[2])
        for name in ("short", "half"):
            status, r = server.ask(name)
            assert status in (200, 400, 404), (name, status, r)
            if status == 200: assert KNOWN[r["martlet"]["adapter_digest"]].name == f"a{('short', 'half').index(name):02d}"


# MARK: Sources

def repositories(*adapters):
    """A folder for a Hub: acme/r0, acme/r1, … and evil/r0."""
    root = fresh()
    for owner in ("acme", "evil"): os.mkdir(os.path.join(root, owner))
    for number, adapter in enumerate(adapters): copy(adapter, os.path.join(root, f"acme/r{number}"))
    copy(POOL[20], os.path.join(root, "evil/r0"))
    return root


@check
def hub_source():
    cache, root = fresh(), repositories(*POOL[:5])
    commit = lambda name: fake_hub.commit(pathlib.Path(root, name))
    with sources.Hub(root, "hub-token-1234") as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hub-token-1234"}
        with Server(*LOCAL, cache=cache, env=env) as server:
            entry = good(server.put("one", "hf:acme/r0"))
            assert (entry["digest"], entry["revision"], entry["source"]) == (POOL[0].digest, commit("acme/r0"), "hf:acme/r0"), entry
            right(server, "one", POOL[0])
            for source in ("hf:acme/none", "hf:acme/r1@v2"): refused(server.put("x", source), 404, "source_not_found")
            hub.acts["acme/r1"] = sources.flip
            refused(server.put("two", "hf:acme/r1"), 502, "checksum_mismatch")
            missing(server, "two")
            hub.acts["acme/r1"] = sources.cut(2)
            assert good(server.put("two", "hf:acme/r1@" + commit("acme/r1")))["digest"] == POOL[1].digest
            assert any(where == "content" and range for where, _, _, _, range in hub.asked), "what had come was not continued"
            right(server, "two", POOL[1])
            # A name stays at its commit until it is put again.
            rewrite(POOL[5], os.path.join(root, "acme/r0"))
            demote(server, "one"); right(server, "one", POOL[0])
            good(server.put("one", "hf:acme/r0")); right(server, "one", POOL[5])
            assert {token for where, _, _, token, _ in hub.asked if where == "hub"} == {"Bearer hub-token-1234"}
            assert {token for where, _, _, token, _ in hub.asked if where == "content"} == {None}
            # Killed in the middle of a fetch.
            hold = hub.acts["acme/r3"] = sources.Hold()
            with futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(server.put, "three", "hf:acme/r3")
                assert hold.reached.wait(20), "the weights were not asked for"
                assert inside(cache, "staging")
                server.kill()
                assert isinstance(asked.exception(), (OSError, http.client.HTTPException)), asked
            hold.let_go.set()
            assert "hub-token" not in server.text()
        del hub.acts["acme/r3"]
        before = len(hub.asked)
        with Server(*LOCAL, cache=cache, env=env) as server:
            tidy(cache)
            assert sorted(server.entries()) == ["one", "two"], server.entries()
            right(server, "one", POOL[5]); right(server, "two", POOL[1])
            assert len(hub.asked) == before, "what is on the disk was asked for again"
            good(server.put("three", "hf:acme/r3")); right(server, "three", POOL[3])
            hub.hub.token = "another"
            refused(server.put("four", "hf:acme/r4"), 502, "source_unauthorized")
            right(server, "three", POOL[3])
            tidy(cache)


@check
def a_hub_that_is_down_takes_nothing_away():
    cache, root = fresh(), repositories(POOL[0])
    hub = sources.Hub(root, None)
    options = [*LOCAL, "--adapter", "x=hf:acme/r0"]
    try:
        with Server(*options, cache=cache, env={"HF_ENDPOINT": hub.url}) as server: right(server, "x", POOL[0])
    finally: hub.close()
    with Server(*options, cache=cache, env={"HF_ENDPOINT": hub.url}) as server: right(server, "x", POOL[0])


@check
def just_in_time_names():
    cache, root = fresh(), repositories(*POOL[:4])
    os.truncate(os.path.join(copy(POOL[4], os.path.join(root, "acme/broken")), "adapter_model.safetensors"), 5000)
    with sources.Hub(root, None) as hub:
        env = {"HF_ENDPOINT": hub.url}
        with Server(*LOCAL, "--just-in-time", "hf:acme/", cache=cache, env=env) as server:
            for number in range(4):  # many at once, the first time
                together(lambda _: right(server, f"hf:acme/r{number}", POOL[number], key=USER), range(8))
                fetches = [p for where, method, p, _, _ in hub.asked if where == "content" and method == "GET" and f"/r{number}/" in p]
                assert len(fetches) == 1, fetches
            asked = len(hub.asked)
            for name in ("hf:evil/r0", "hf:acme", "hf:acme/", "hf:acme/../evil/r0", "hf:acme/r0@../../evil", "hf:acme/%2e%2e/evil/r0", "hf:acme/" + "r" * 300, "HF:acme/r0", POOL[0].path, "../library/a00",
                         "https://models.example.com/x/", f"{hub.url}/acme/r0/", "s3://bucket/x", "file:///etc/passwd"):
                refused(server.ask(name, USER), 404, "model_not_found")
            assert len(hub.asked) == asked, hub.asked[asked:]
            refused(server.ask("hf:acme/none", USER), 404, "source_not_found")
            for _ in range(2): together(lambda _: refused(server.ask("hf:acme/broken", USER), 400, "malformed_file"), range(8))
            fetches = [p for where, method, p, _, _ in hub.asked if where == "content" and method == "GET" and "/broken/" in p]
            assert len(fetches) == 1, f"a broken adapter was fetched {len(fetches)} times within a moment"
            assert sorted(server.models()) == ["base"] + [f"hf:acme/r{n}" for n in range(4)], f"a name that there is no adapter for stays: {server.models()}"
        asked = len(hub.asked)
        with Server(*LOCAL, "--just-in-time", "hf:acme/", cache=cache, env=env) as server:
            right(server, "hf:acme/r0", POOL[0], key=USER)
            assert len(hub.asked) == asked


@check
def s3_source():
    try: s3 = sources.S3("adapters")
    except ImportError: raise Skipped("moto is not installed")
    cache = fresh()
    with s3:
        def fill(adapter, prefix):
            for name in os.listdir(adapter.path): s3.put(f"{prefix}/{name}", open(os.path.join(adapter.path, name), "rb").read())
        fill(POOL[0], "team/one"); fill(BIG[0], "two")
        s3.put("pickle/adapter_model.bin", b"x"); s3.put("pickle/adapter_config.json", b"{}")
        env = {"AWS_ENDPOINT_URL": s3.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "aws-secret-1234"}
        with Server(*LOCAL, cache=cache, env=env) as server:
            good(server.put("one", "s3://adapters/team/one")); right(server, "one", POOL[0])
            assert good(server.put("two", "s3://adapters/two/"))["source"] == "s3://adapters/two"
            right(server, "two", BIG[0])
            before = server.entry("one")["revision"]
            fill(POOL[1], "team/one")
            good(server.put("one", "s3://adapters/team/one")); right(server, "one", POOL[1])
            assert before and server.entry("one")["revision"] != before
            refused(server.put("x", "s3://adapters/nothing"), 404, "source_not_found")
            refused(server.put("x", "s3://no-such-bucket/one"), 404, "source_not_found")
            refused(server.put("x", "s3://adapters/pickle"), 400, "pickle_refused")
            for source in ("s3://adapters/../x", "s3://A/x", "s3://"): refused(server.put("x", source), 400, "malformed_source")
            tidy(cache)
            assert "aws-secret" not in server.text()
        with Server(cache=cache) as server: right(server, "one", POOL[1]); right(server, "two", BIG[0])


class Untouched:
    """Folders beside a cache, and the cache, as a refusal must leave them."""

    def __init__(self, server, cache, *folders):
        self.server, self.cache, self.folders = server, cache, folders
        self.before = self.files()

    def files(self):
        """All files, and when they were last written."""
        found = ((os.path.join(folder, name), name in files) for top in self.folders for folder, folders, files in os.walk(top) for name in folders + files)
        return {path: (os.lstat(path).st_size, os.lstat(path).st_mtime_ns) if is_file else None for path, is_file in found}

    def check(self, case):
        server, now = self.server, self.files()
        assert server.request("GET", "/health")[0] == 200
        assert now == self.before, f"{case} has left {set(now.items()) ^ set(self.before.items())}"
        eventually(lambda: not inside(self.cache, "staging"), f"staging is empty after {case}")
        assert not server.entries() and not inside(self.cache, "packs"), f"{case} has left {server.entries()}, {inside(self.cache, 'packs')}"

    def refuses(self, source, status, code, case=None):
        answer = self.server.put("x", source)
        assert answer[0] == status and answer[1]["error"]["code"] == code, f"{case or source}: {answer}, expected {status} {code}"
        self.check(case or source)


@check
def hostile_sources():
    place, cache = fresh(), fresh()
    inner = lambda *parts: os.path.join(place, *parts)
    for name in ("root", "root-too", "web", "home"): os.mkdir(inner(name))
    for name in ("root/good", "root/sneaky", "root/config", "root/fifo", "root/dir", "root/zip", "root/nan", "root-too/good", "outside", "web/good"): copy(POOL[0], inner(name))
    weights = "adapter_model.safetensors"
    def instead(folder, make, name=weights):
        os.remove(inner(folder, name)); make(inner(folder, name))
    instead("root/sneaky", lambda path: os.symlink(inner("outside", weights), path))
    instead("root/config", lambda path: os.symlink("/etc/passwd", path), "adapter_config.json")
    instead("root/fifo", os.mkfifo); instead("root/dir", os.mkdir)
    os.symlink(inner("outside"), inner("root/link")); os.symlink("loop", inner("root/loop"))
    with open(inner("root/nan", weights), "r+b") as file: file.seek(-2, os.SEEK_END); file.write(b"\xc0\x7f")
    for name in ("root/pickle", "web/pickle"):
        copy(POOL[0], inner(name)); os.rename(inner(name, weights), inner(name, "adapter_model.bin"))
    names = ("metadata", "unlisted", "loopback", "name", "file", "round", "ftp", "user", "mapped", "blank", "leak", "endless", "huge", "longer", "flood", "cut", "misplaced", "gzip", "html", "teapot", "zip")
    for name in names: copy(POOL[0], inner("web", name))
    for name in ("root/zip", "web/zip"):  # a pickle under another name: what torch.save writes is a zip
        with open(inner(name, weights), "wb") as file: file.write(b"PK\x03\x04" + bytes(200) + b"archive/data.pkl\x80\x02cposix\nsystem\n")
    with sources.Web(inner("web")) as web:
        here, metadata = f"127.0.0.1:{web.port}", "http://169.254.169.254/latest/meta-data/"
        targets = {"metadata": metadata, "unlisted": "http://models.example.com/x", "loopback": f"http://127.0.0.2:{web.port}/good/{weights}", "name": f"http://localhost:{web.port}/good/{weights}",
                   "file": "file:///etc/passwd", "round": f"/round/{weights}", "ftp": f"ftp://{here}/good/{weights}", "user": f"http://me@{here}/good/{weights}", "mapped": f"http://[::ffff:169.254.169.254]/good/{weights}"}
        for name, target in targets.items(): web.acts[f"/{name}/{weights}"] = sources.redirect(target)
        web.acts["/leak/adapter_config.json"], web.acts["/blank/" + weights] = sources.redirect(metadata), sources.refuse(302)
        web.acts["/endless/adapter_config.json"], web.acts["/flood/" + weights] = sources.endless, sources.flood
        web.acts["/huge/" + weights], web.acts["/longer/" + weights], web.acts["/cut/" + weights], web.acts["/misplaced/" + weights] = sources.declare(9 << 30), sources.longer, sources.cut(1000), sources.misplaced
        web.acts["/gzip/" + weights], web.acts["/html/" + weights], web.acts["/teapot/" + weights] = sources.compress, sources.nonsense, sources.refuse(418)
        cases = [
            (inner("outside"), 403, "source_not_allowed"), (inner("root/../outside"), 403, "source_not_allowed"), (inner("root-too/good"), 403, "source_not_allowed"), (inner("root/link"), 403, "source_not_allowed"),
            (inner("root/sneaky"), 403, "source_not_allowed"), (inner("root/config"), 403, "source_not_allowed"), ("/etc/passwd", 403, "source_not_allowed"), ("../outside", 403, "source_not_allowed"), ("/", 403, "source_not_allowed"),
            (inner("root/fifo"), 404, "source_not_found"), (inner("root/dir"), 404, "source_not_found"), (inner("root/loop"), 404, "source_not_found"), (inner("root/nothing"), 404, "source_not_found"), (inner("root"), 404, "source_not_found"),
            (inner("root/pickle"), 400, "pickle_refused"), (inner("root/pickle/adapter_model.bin"), 404, "source_not_found"), (inner("root/zip"), 400, "malformed_file"), (inner("root/nan"), 400, "non_finite_value"),
            ("file:///etc/passwd", 400, "malformed_source"), ("hf:../x", 400, "malformed_source"), ("hf:a/b/../../c", 400, "malformed_source"), ("s3://bucket/../x", 400, "malformed_source"), ("s3://bucket/x", 403, "source_not_allowed"),
            (f"http://{here}/root/../good/", 400, "malformed_source"), (f"http://{here}/%2e%2e/good/", 400, "malformed_source"), (f"http://{here}/.%2e/good/", 400, "malformed_source"), (f"http://{here}/x%2f..%2fgood/", 400, "malformed_source"),
            (f"http://{here}/x\\..\\good/", 400, "malformed_source"), (f"http://{here}//good/", 400, "malformed_source"), (f"http://{here}/good/?x=1", 400, "malformed_source"), (f"http://{here}/good/#x", 400, "malformed_source"),
            (f"http://me@{here}/good/", 400, "malformed_source"), ("http:///good/", 400, "malformed_source"), ("http://127.0.0.1:99999/good/", 400, "malformed_source"),
            ("https://models.example.com/x/", 403, "source_not_allowed"), (f"http://[::1]:{web.port}/good/", 403, "source_not_allowed"), (f"http://[::ffff:127.0.0.1]:{web.port}/good/", 403, "source_not_allowed"), (f"http://2130706433:{web.port}/good/", 403, "source_not_allowed"),
            (f"http://127.0.0.2:{web.port}/good/", 403, "private_address"), (metadata, 403, "private_address"), (f"http://localhost:{web.port}/good/", 403, "private_address"), (f"http://0.0.0.0:{web.port}/good/", 403, "private_address"),
            ("http://10.0.0.1/x/", 403, "private_address"), ("http://[::ffff:169.254.169.254]/x/", 403, "private_address"),
            (f"http://{here}/metadata/", 403, "private_address"), (f"http://{here}/loopback/", 403, "private_address"), (f"http://{here}/name/", 403, "private_address"), (f"http://{here}/mapped/", 403, "private_address"), (f"http://{here}/leak/", 403, "private_address"),
            (f"http://{here}/unlisted/", 403, "redirect_refused"), (f"http://{here}/file/", 403, "redirect_refused"), (f"http://{here}/round/", 403, "redirect_refused"), (f"http://{here}/ftp/", 403, "redirect_refused"), (f"http://{here}/user/", 403, "redirect_refused"),
            (f"http://{here}/blank/", 403, "redirect_refused"),
            (f"http://{here}/endless/", 413, "source_too_large"), (f"http://{here}/huge/", 413, "source_too_large"), (f"http://{here}/flood/", 413, "source_too_large"), (f"http://{here}/longer/", 503, "changed_meanwhile"), (f"http://{here}/cut/", 503, "source_truncated"),
            (f"http://{here}/pickle/", 400, "pickle_refused"), (f"http://{here}/zip/", 400, "malformed_file"), (f"http://{here}/gzip/", 502, "malformed_answer"), (f"http://{here}/misplaced/", 502, "malformed_answer"), (f"http://{here}/html/", 400, "malformed_file"),
            (f"http://{here}/teapot/", 502, "malformed_answer"), (f"http://{here}/nothing/", 404, "source_not_found"),
        ]
        options = ["--plain-http-sources", "--local-source-host", "127.0.0.1", "--adapter-root", inner("root")]
        for host in ("127.0.0.1", "127.0.0.2", "localhost", "169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "10.0.0.1"): options += ["--source-host", host]
        with Server(*options, cache=cache, home=inner("home")) as server:
            untouched = Untouched(server, cache, place)
            for case in cases: untouched.refuses(*case)
            for name in ("..%2fx", "%2e%2e%2fx", "%2e%2e/%2e%2e/x", "../x", "..", "%2fetc%2fpasswd", "x%00y", "x%0ay", "x%20y", "%C3%A9", "%zz", ".x", "x%5c..%5cy"):
                refused(server.request("PUT", f"/admin/adapters/{name}", {"source": inner("root/good")}), 400, "invalid_value")
                untouched.check(name)
            good(server.put("x", inner("root/good"))); right(server, "x", POOL[0])
            good(server.put("y", f"http://{here}/good/")); right(server, "y", POOL[0])
            web.acts["/good/" + weights] = sources.cut(1)
            good(server.put("y", f"http://{here}/good/"))
            assert ("GET", "/good/" + weights) in [a[:2] for a in web.asked if a[2]], "what had come was not continued"
            assert untouched.files() == untouched.before


@check
def hostile_hubs_and_buckets():
    place, cache, root, buckets = fresh(), fresh(), repositories(POOL[0]), fresh()
    weights, config = (pathlib.Path(root, "acme/r0", name).read_bytes() for name in ("adapter_model.safetensors", "adapter_config.json"))
    commit = fake_hub.commit(pathlib.Path(root, "acme/r0"))
    at = f"/acme/r0/resolve/{commit}/"
    api, metadata = "/api/models/acme/r0/revision/main", "http://169.254.169.254/latest/meta-data/"
    listing = lambda *names, sha=commit: sources.say(json.dumps({"sha": sha, "siblings": [{"rfilename": name} for name in names]}).encode())
    blob = lambda content: f'"{hashlib.sha1(b"blob %d" % len(content) + bytes(1) + content).hexdigest()}"'
    def linked(target, commit=commit):
        headers = {"Location": target, "X-Repo-Commit": commit, "X-Linked-Etag": f'"{hashlib.sha256(weights).hexdigest()}"', "X-Linked-Size": len(weights)}
        return {at + "adapter_model.safetensors": lambda handler, _: sources.reply(handler, 302, headers)}
    cases = [
        ("no JSON", {api: sources.say(b"<html>")}, 502, "malformed_answer"), ("a list", {api: sources.say(b"[]")}, 502, "malformed_answer"), ("a commit that is a path", {api: listing(sha="../" * 13 + "x")}, 502, "malformed_answer"),
        ("names that lead out", {api: listing("../adapter_config.json", "/adapter_model.safetensors", "x/../adapter_model.safetensors", "adapter_model.safetensors/", "..")}, 404, "source_not_found"),
        ("a list without end", {api: sources.endless}, 413, "source_too_large"), ("a pickle", {api: listing("adapter_config.json", "adapter_model.bin")}, 400, "pickle_refused"),
        ("another commit", linked(metadata, "0" * 40), 503, "changed_meanwhile"), ("weights at a metadata service", linked(metadata), 403, "private_address"), ("weights at a stranger's", linked("http://models.example.com/x"), 403, "redirect_refused"),
        ("weights in a file", linked("file:///etc/passwd"), 403, "redirect_refused"),
        ("a changed configuration", {at + "adapter_config.json": sources.say(sources.flipped(config), {"ETag": blob(config), "X-Repo-Commit": commit})}, 502, "checksum_mismatch"),
    ]
    os.mkdir(os.path.join(buckets, "adapters"))
    for name in ("corrupt", "moved", "flood"): copy(POOL[0], os.path.join(buckets, "adapters", name))
    with sources.Hub(root, "hub-token-1234") as hub, sources.Web(buckets) as web:
        for name, act in (("corrupt", sources.corrupt), ("moved", sources.redirect(metadata)), ("flood", sources.flood)): web.acts[f"/adapters/{name}/adapter_model.safetensors"] = act
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hub-token-1234", "AWS_ENDPOINT_URL": web.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "aws-secret-1234"}
        with Server(*LOCAL, "--source-host", "169.254.169.254", cache=cache, env=env, home=place) as server:
            untouched = Untouched(server, cache, place, root, buckets)
            for case, answers, status, code in cases:
                hub.answers = answers
                untouched.refuses("hf:acme/r0", status, code, case)
            hub.answers = {}
            for act, status, code in ((sources.flip, 502, "checksum_mismatch"), (sources.flood, 413, "source_too_large"), (sources.compress, 502, "malformed_answer"), (sources.redirect(metadata), 403, "private_address")):
                hub.acts["acme/r0"] = act
                untouched.refuses("hf:acme/r0", status, code, f"content that the Hub keeps elsewhere: {code}")
            del hub.acts["acme/r0"]
            for name, status, code in (("corrupt", 502, "checksum_mismatch"), ("moved", 403, "redirect_refused"), ("flood", 413, "source_too_large")): untouched.refuses(f"s3://adapters/{name}", status, code)
            good(server.put("x", "hf:acme/r0")); right(server, "x", POOL[0])
            assert {token for where, _, _, token, _ in hub.asked if where == "content"} == {None}
            assert "hub-token" not in server.text() and "aws-secret" not in server.text()


# MARK: People and processes that leave

@check
def a_client_that_leaves_while_its_adapter_loads():
    cache = fresh()
    with sources.Web(LIBRARY) as web, Server(*LOCAL, cache=cache) as server:
        name = BIG[0].name
        good(server.put("x", f"{web.url}/{name}/")); right(server, "x", BIG[0])
        for leaves_all in (True, False):
            demote(server, "x")
            damage(pack(cache, BIG[0]))
            hold = web.acts[f"/{name}/adapter_model.safetensors"] = sources.Hold()  # so that making it again takes its time
            body = {"model": "x", "prompt": "Hi", "max_tokens": 2000, "ignore_eos": True}
            clients = [server.open({**body, "stream": bool(i % 2)}) for i in range(4)]
            with futures.ThreadPoolExecutor(1) as pool:
                stays = None if leaves_all else pool.submit(right, server, "x", BIG[0])
                try:
                    assert hold.reached.wait(20), "the source was not asked"
                    eventually(lambda: server.entry("x")["leases"] == (4 if leaves_all else 5), "everybody waits for one load")
                    for s in clients: s.close()
                    right_now = server.score("base")  # what goes on goes on
                    assert right_now[0] is None
                finally: hold.let_go.set()
                if stays: stays.result()
            idle(server)
            assert [m for m, p, _ in web.asked if m == "GET" and p.endswith(f"{name}/adapter_model.safetensors")] == ["GET"] * (2 if leaves_all else 3), web.asked
        right(server, "x", BIG[0])
        tidy(cache)


@check
def a_slow_source_does_not_hold_up_the_end():
    hold = sources.Hold()
    with sources.Web(LIBRARY) as web:
        web.acts["/a00/adapter_model.safetensors"] = hold
        with Server(*LOCAL, "--adapter", f"x={web.url}/a00/", "--drain-timeout", "1", cache=fresh()) as server:
            try:
                assert hold.reached.wait(20), "the source was not asked"
                code = server.stop()
                assert code == 0, f"ended with {code}: {server.text()[-1000:]}"
            finally: hold.let_go.set()


# MARK: Operators

@check
def events_tell_what_happens():
    with Server(cache=fresh()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request("GET", "/admin/events", headers={"Authorization": f"Bearer {ADMIN}"})
            response = connection.getresponse()
            assert response.status == 200 and response.readline().startswith(b":"), response.status
            good(server.put("x", BIG[0].path)); good(server.act("x", "warm")); demote(server, "x"); good(server.delete("x"))
            seen = {}
            for _ in range(100):
                line = response.readline()
                if not line.startswith(b"data: "): continue
                event = json.loads(line[6:])
                seen[event["event"]] = event
                if event["event"] == "removed": break
            assert seen["replaced"] == {"event": "replaced", "name": "x", "digest": BIG[0].digest}, seen
            assert seen["loaded"]["digest"] == BIG[0].digest and seen["evicted"] == {"event": "evicted", "digest": BIG[0].digest, "tier": "host"}, seen
            assert server.stop() == 0, server.text()[-2000:]  # somebody who listens does not hold it up
        finally: connection.close()


def command(url, *words, key=ADMIN):
    """What runs `martlet adapters` for a server."""
    return dict(args=[MARTLET, "adapters", *words], env={**clean_environment(), "MARTLET_URL": url, **({} if key is None else {"MARTLET_ADMIN_KEY": key})}, text=True)


def columns(text):
    """The rows of a table for a terminal, by their headers."""
    lines = [re.split(" {2,}", line.strip()) for line in text.split("\n\n")[0].splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


@check
def the_command_line():
    cache, files = fresh(), fresh()
    a, b = BIG[:2]
    broken, pickle = copy(POOL[2], os.path.join(files, "broken")), copy(POOL[3], os.path.join(fresh(), "pickle"))
    copy(POOL[1], os.path.join(files, "good"))
    os.truncate(os.path.join(broken, "adapter_model.safetensors"), 5000)
    os.rename(os.path.join(pickle, "adapter_model.safetensors"), os.path.join(pickle, "adapter_model.bin"))
    with sources.Web(files) as stranger, Server(cache=cache) as server:
        here = f"http://127.0.0.1:{server.port}"
        def run(*words, url=here, key=ADMIN, folder=FOLDER): return subprocess.run(**command(url, *words, key=key), cwd=folder, capture_output=True, timeout=60)
        def works(*words, says=(), **more):
            r = run(*words, **more)
            assert r.returncode == 0 and not r.stderr and all(text in r.stdout for text in says), f"{words}: {r}, expected {says}"
            return r.stdout
        def fails(*words, says, code=1, **more):
            """In one message for people, without the key, and with nothing for programs to read."""
            r = run(*words, **more)
            assert r.returncode == code and not r.stdout and r.stderr.startswith("Error: ") and all(text in r.stderr for text in says), f"{words}: {r}, expected {code}, {says}"
            assert "-key-1234" not in r.stderr, r.stderr
        # Names.
        works("list", says=["No adapters", "martlet adapters add NAME SOURCE", "waiting for room: 0, thrashing: 0.00"])
        works("add", "x", a.path, says=["x: ", a.digest]); right(server, "x", a)
        fails("add", "x", b.path, says=["[adapter_exists]", "martlet adapters replace"]); right(server, "x", a)
        works("add", "near", "a01", folder=LIBRARY, says=[POOL[1].digest])
        assert server.entry("near")["source"] == POOL[1].path
        works("add", "team/y", b.path, says=["team/y: ", b.digest]); right(server, "team/y", b)
        works("show", "team/y", says=["team/y", b.digest, b.path, "900.0 KiB"])
        text = works("replace", "x", b.path, says=["x: ", b.digest, f"to go back: martlet adapters point x {a.digest}"]); right(server, "x", b)
        works(*text.splitlines()[-1].split("martlet adapters ")[1].split(), says=["x: ", a.digest]); right(server, "x", a)
        fails("replace", "x", b.path, "--if-digest", b.digest, says=["[adapter_changed]"])
        fails("point", "x", b.digest, "--if-digest", b.digest, says=["[adapter_changed]"]); right(server, "x", a)
        works("replace", "x", b.path, "--if-digest", a.digest, says=[b.digest]); works("point", "x", a.digest, "--if-digest", b.digest, says=[a.digest]); right(server, "x", a)
        fails("point", "x", "0" * 64, says=["[adapter_not_found]"])
        fails("point", "x", "zz", code=64, says=["64 hexadecimal digits"]); fails("replace", "x", b.path, "--if-digest", "zz", code=64, says=["64 hexadecimal digits"])
        fails("replace", "nobody", b.path, says=["[adapter_not_found]", "nobody"]); missing(server, "nobody")
        for source, code in ((pickle, "pickle_refused"), (broken, "malformed_file"), ("/nowhere", "source_not_found"), ("ftp://x/y", "malformed_source"), ("https://models.example.com/x", "source_not_allowed")):
            fails("add", "nobody", source, says=[f"[{code}]"]); missing(server, "nobody")
        for name in ("../x", "é", "a b"): fails("show", name, says=["[adapter_not_found]"]); fails("add", name, a.path, says=["[invalid_value]"])
        fails("show", "", says=["not empty"])
        works("replace", "x", a.path, says=[a.digest])  # so that its source is what it stands for
        # Tiers.
        works("warm", "x", says=["x: host, 900.0 KiB", a.digest]); works("pin", "x", says=["x: host, 900.0 KiB, pinned"])
        fails("demote", "x", says=["[adapter_in_use]"])
        rows = columns(works("list", "--sort", "name"))
        assert [r["name"] for r in rows] == ["near", "team/y", "x"], rows
        assert {k: rows[2][k] for k in ("tier", "rank", "size", "pinned", "digest", "fault")} == {"tier": "host", "rank": "8", "size": "900.0 KiB", "pinned": "yes", "digest": a.digest[:12], "fault": "-"}, rows[2]
        assert int(rows[2]["hits"]) > 0 and rows[2]["last use"].endswith(" ago"), rows[2]
        assert columns(works("list", "--sort", "size"))[-1]["name"] == "near"
        works("unpin", "x"); eventually(lambda: run("demote", "x").returncode == 0, "x is demoted"); assert server.entry("x")["tier"] == "disk"
        tiers = {r["tier"]: r for r in columns(works("tiers", says=["waiting for room: 0"]).split("\nwaiting")[0])}
        assert tiers["disk"]["adapters"] == "3" and tiers["host"]["budget"], tiers
        assert re.search(r"x +ok\n", works("verify", "x", "team/y"))
        damage(pack(cache, a))
        r = run("verify", "x", "nobody", b.path)
        assert r.returncode == 1 and "was damaged; made again from its source" in r.stdout and "refused: " in r.stdout and "[adapter_not_found]" in r.stdout and "give --model their base" in r.stdout, r
        works("verify", "x"); right(server, "x", a)
        for words in (("pin", "nobody"), ("unpin", "nobody"), ("warm", "nobody"), ("demote", "nobody"), ("remove", "nobody")): fails(*words, says=["[adapter_not_found]"])
        works("remove", "team/y", says=["team/y: removed"]); missing(server, "team/y"); fails("remove", "team/y", says=["[adapter_not_found]"])
        # Files on this machine.
        rows = works("list", files, "--model", MODEL).splitlines()
        assert "[malformed_file]" in rows[1] and POOL[1].digest[:12] in rows[2], rows
        works("verify", POOL[1].path, "--model", MODEL, says=["ok  " + POOL[1].digest])
        r = run("verify", files, "--model", MODEL)
        assert r.returncode == 1 and "ok  " + POOL[1].digest in r.stdout and "[malformed_file]" in r.stdout, r
        works("inspect", POOL[1].path, "--model", MODEL, says=[POOL[1].digest, "q_proj", "rank 3"]); fails("inspect", broken, "--model", MODEL, says=["[malformed_file]"])
        # What does not begin to work.
        fails("tiers", url=f"http://127.0.0.1:{sources.free_port()}", says=["No answer from", "martlet serve", "--url"]); fails("tiers", url=stranger.url, says=["not as Martlet does", "--url"])
        fails("tiers", key=None, says=["[missing_api_key]", "MARTLET_ADMIN_KEY"]); fails("tiers", key="wrong-key-1234", says=["[invalid_api_key]", "MARTLET_ADMIN_KEY"]); fails("tiers", key=USER, says=["[admin_key_required]"])
        works("tiers", "--key", ADMIN, key="wrong-key-1234"); works("tiers", "--url", here + "/v1/", url="http://127.0.0.1:1")
        for words, says in ((("tiers", "--url", "localhost:8080"), "http://HOST:PORT"), (("list", "--sort", "luck"), "--sort"), (("list", files), "--model"), (("add", "x"), "<source>"), (("frobnicate",), "frobnicate")): fails(*words, code=64, says=[says])
        fails("tiers", key="", code=64, says=["admin key"])
        assert "SUBCOMMANDS" in works("--help").upper()
        # What happens, as it happens, until the server ends.
        listener, lines = subprocess.Popen(**command(here, "events"), stdout=subprocess.PIPE, stderr=subprocess.PIPE), []
        try:
            def read():
                for line in listener.stdout: lines.append(line)
            reader = threading.Thread(target=read); reader.start()
            def is_told():
                good(server.act("x", "warm")); demote(server, "x")
                return any('"evicted"' in line for line in lines)
            eventually(is_told, "events are printed as they come")
            assert server.stop() == 0, server.text()[-2000:]
            code = listener.wait(20)
            reader.join()
            assert code == 0 or (code == 1 and "broke off" in listener.stderr.read()), code
            assert {"event": "loaded", "digest": a.digest} in [json.loads(line) for line in lines], lines
        finally: listener.kill(); listener.wait()
        assert "-key-1234" not in server.text()


@check
def an_invoked_adapter_is_the_base_until_then():
    """aLoRA: before the invocation the base's log probabilities and its part of the prefix cache, after it its own."""
    folder = copy(POOL[0], os.path.join(fresh(), "invoked"))
    path = os.path.join(folder, "adapter_config.json")
    config = {**json.load(open(path)), "alora_invocation_tokens": [70, 71, 72]}
    with open(path, "w") as file: json.dump(config, file)
    prompt = LONG[:100] + [70, 71, 72] + LONG[100:]
    with Server("--adapter", f"invoked={folder}", "--adapter", f"whole={POOL[0].path}") as server:
        def cached(model): return good(server.request("POST", "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": 1}))["usage"]["prompt_tokens_details"]["cached_tokens"]
        found = [cached(m) for m in ("base", "invoked", "invoked", "whole", "base")]
        assert found == [0, 96, 160, 0, 160], found
        def score(model, prompt): return good(server.request("POST", "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": 0}))["choices"][0]["logprobs"]["token_logprobs"]
        base, invoked, whole = (score(m, prompt) for m in ("base", "invoked", "whole"))
        assert invoked[:101] == base[:101] and all(a != b for a, b in zip(invoked[101:], base[101:])) and invoked[101:] != whole[101:]
        assert score("invoked", LONG) == score("base", LONG) != score("whole", LONG)


@check
def rude_admin_requests():
    a = "/admin/adapters"
    source = {"source": POOL[0].path}
    cases = [
        ("PUT", a + "/x", b"", 400, "invalid_json"), ("PUT", a + "/x", b"{", 400, "invalid_json"), ("PUT", a + "/x", b"\xff", 400, "invalid_json"), ("PUT", a + "/x", b'{"source": "a", "source": "b"}', 400, "invalid_json"),
        ("PUT", a + "/x", b"[" * 100000, 400, "invalid_json"), ("PUT", a + "/x", b"[]", 400, "invalid_body"), ("PUT", a + "/x", b"null", 400, "invalid_body"), ("PUT", a + "/x", b'"x"', 400, "invalid_body"),
        ("PUT", a + "/x", {}, 400, "missing_parameter"), ("PUT", a + "/x", {"source": None}, 400, "missing_parameter"), ("PUT", a + "/x", {"source": ""}, 400, "missing_parameter"),
        ("PUT", a + "/x", {**source, "digest": POOL[0].digest}, 400, "missing_parameter"), ("PUT", a + "/x", {"if_digest": POOL[0].digest}, 400, "missing_parameter"),
        ("PUT", a + "/x", {"source": 5}, 400, "invalid_type"), ("PUT", a + "/x", {"source": [POOL[0].path]}, 400, "invalid_type"), ("PUT", a + "/x", {"digest": 5}, 400, "invalid_type"), ("PUT", a + "/x", {**source, "if_digest": 5}, 400, "invalid_type"),
        ("PUT", a + "/x", {**source, "nonsense": 1}, 400, "unsupported_parameter"), ("PUT", a + "/x", {**source, "pinned": True}, 400, "unsupported_parameter"),
        ("PUT", a + "/x", {**source, "replaces": "no"}, 400, "invalid_type"), ("PUT", a + "/x", {"digest": POOL[0].digest, "replaces": False}, 400, "invalid_value"), ("PUT", a + "/kept", {**source, "replaces": False}, 400, "adapter_exists"),
        ("PUT", a + "/x", {"digest": "zz"}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": ""}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": "G" * 64}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": "A" * 64}, 400, "invalid_value"),
        ("PUT", a + "/x", {"digest": "é" * 32}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": "0" * 64}, 404, "adapter_not_found"),
        ("PUT", a + "/x", {"source": "x" * 5000}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "a\nb"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "a\0b"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "ftp://x/y"}, 400, "malformed_source"),
        ("PUT", a + "/x", {"source": "hf:one"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "s3://x"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "https://"}, 400, "malformed_source"),
        ("PUT", a + "/x", {"source": "https://models.example.com/x"}, 403, "source_not_allowed"), ("PUT", a + "/x", {"source": "http://models.example.com/x"}, 403, "source_not_allowed"), ("PUT", a + "/x", {"source": "s3://bucket/x"}, 403, "source_not_allowed"),
        ("PUT", a + "/x", {"source": "/nowhere"}, 404, "source_not_found"), ("PUT", a + "/x", {"source": "/dev/zero"}, 404, "source_not_found"), ("PUT", a + "/x", {"source": LIBRARY}, 404, "source_not_found"),
        ("PUT", a + "/x", {"source": os.path.join(POOL[0].path, "adapter_model.safetensors")}, 404, "source_not_found"),
        ("PUT", a + "/" + "x" * 201, source, 400, "invalid_value"), ("PUT", a + "/" + "x" * 4000, source, 400, "invalid_value"), ("PUT", a + "/-x", source, 400, "invalid_value"), ("PUT", a + "/base", source, 400, "adapter_exists"),
        ("PUT", a + "/x", b" " * (10 << 20), 413, "body_too_large"),
        ("GET", a + "/nope", None, 404, "adapter_not_found"), ("DELETE", a + "/nope", None, 404, "adapter_not_found"), ("DELETE", a + "/base", None, 404, "adapter_not_found"), ("GET", a + "/" + "x" * 4000, None, 404, "adapter_not_found"),
        *(("POST", f"{a}/nope/{action}", None, 404, "adapter_not_found") for action in ("pin", "unpin", "warm", "demote", "verify")),
        ("POST", a + "/kept/frobnicate", None, 404, "not_found"), ("POST", a + "/kept", None, 404, "not_found"), ("POST", a + "/base/warm", None, 404, "adapter_not_found"),
        ("PUT", a, source, 405, "method_not_allowed"), ("DELETE", a, None, 405, "method_not_allowed"), ("POST", "/admin/tiers", None, 405, "method_not_allowed"), ("POST", "/admin/events", None, 405, "method_not_allowed"), ("GET", "/admin", None, 404, "not_found"), ("GET", "/admin/nonsense", None, 404, "not_found"),
    ]
    with Server(cache=fresh()) as server:
        good(server.put("kept", BIG[0].path))
        for method, path, body, status, code in cases:
            got, r = server.request(method, path, body)
            assert got == status and r["error"]["code"] == code and r["error"]["message"], f"{method} {path[:60]} {str(body)[:100]}: {got} {str(r)[:300]}, expected {status} {code}"
        for key, status, code in ((None, 401, "missing_api_key"), ("wrong-key-1234", 401, "invalid_api_key"), (USER, 403, "admin_key_required")):
            for method, path in (("GET", a), ("GET", a + "/kept"), ("PUT", a + "/kept"), ("DELETE", a + "/kept"), ("POST", a + "/kept/pin"), ("GET", "/admin/tiers"), ("GET", "/admin/events")):
                refused(server.request(method, path, source if method == "PUT" else None, key), status, code)
        assert list(server.entries()) == ["kept"]
        right(server, "kept", BIG[0])
        assert "-key-1234" not in server.text()


def main():
    names = [c.__name__ for c in CHECKS]
    for name in sys.argv[3:]:
        if name not in names: sys.exit(f"There is no check {name}; there are {', '.join(names)}.")
    wanted = [c for c in CHECKS if not sys.argv[3:] or c.__name__ in sys.argv[3:]]
    passed = skipped = 0
    start = time.time()
    learn()
    print(f"ready   {len(POOL)} adapters, their answers learnt  {time.time() - start:.1f} s", flush=True)
    for function in wanted:
        start = time.time()
        try:
            function(); passed += 1
            print(f"ok      {function.__name__}  {time.time() - start:.1f} s", flush=True)
        except Skipped as reason:
            skipped += 1
            print(f"skipped {function.__name__}: {reason}", flush=True)
        except Exception as error:
            print(f"FAILED  {function.__name__}  {time.time() - start:.1f} s: {type(error).__name__}: {str(error)[:1500]}", flush=True)
    failed = len(wanted) - passed - skipped
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    if failed: print(f"logs of the servers are in {FOLDER}")
    else: shutil.rmtree(FOLDER, ignore_errors=True)
    sys.exit(failed > 0)


main()

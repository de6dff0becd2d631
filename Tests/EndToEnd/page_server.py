"""What the checks of the page put in front of a server, or in its place: a proxy below a prefix, and a server that plays
thousands of adapters with fifty events a second."""
import http.client, json, os, random, re, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
TYPES = {"js": "text/javascript", "css": "text/css", "html": "text/html"}
HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "a'\"><svg/onload=alert(3)>", "\u202eevil\u2066", "x" * 200]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Where the page's files are, by name or in a folder.
    files, folder, prefix = None, None, "/"

    def log_message(self, *_): pass

    def send(self, status, body, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for header in (("Content-Type", kind), ("Content-Length", str(len(data))), *headers): self.send_header(*header)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, code, message): self.send(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})

    def begin_stream(self, status=200, headers=(("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache"))):
        self.send_response(status)
        for header in (*headers, ("Transfer-Encoding", "chunked")): self.send_header(*header)
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, value): self.chunk(f"data: {json.dumps(value)}\n\n".encode())

    def serve_page(self):
        """The page's files, as the server has them built in. Returns whether it was one of them."""
        path = self.path.split("?")[0]
        if self.command != "GET" or not path.startswith(self.prefix): return False
        name = path[len(self.prefix):] or "index.html"
        data = (self.files or {}).get(name)
        if data is None and self.folder and (name == "index.html" or re.fullmatch(r"page/[a-z.]+", name)) and os.path.isfile(os.path.join(self.folder, name)):
            with open(os.path.join(self.folder, name), "rb") as file: data = file.read()
        if data is None: return False
        self.send(200, data, TYPES[name.rsplit(".")[-1]] + "; charset=utf-8", (("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-cache")))
        return True

    def answer(self):
        try:
            if not self.serve_page(): self.route()
        except (OSError, http.client.HTTPException): self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer


def files_of(url):
    """The page's files as a server serves them: the index, what it names, and what these import."""
    def read(name):
        with urllib.request.urlopen(url + name) as answer: return answer.read()
    files, wanted = {"index.html": read("")}, set()
    wanted = set(re.findall(r'"\./(page/[a-z.]+)"', files["index.html"].decode()))
    while wanted:
        name = wanted.pop()
        files[name] = read(name)
        wanted |= {"page/" + other for other in re.findall(r"from '\./([a-z.]+)'", files[name].decode())} - set(files)
    return files


class Routing(Handler):
    """A router, as far as the page asks it."""
    state = {}

    def route(self):
        if self.path == "/state": self.send(200, self.state)
        else: self.send(404, b"", "text/plain")


class Proxy(Handler):
    """Sends what is below the prefix on to a server, and its answers back as they come."""
    port = 0

    def route(self):
        if not self.path.startswith(self.prefix): self.refuse(404, "not_found", "Not below the prefix."); return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        upstream = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            upstream.request(self.command, "/" + self.path[len(self.prefix):], body, {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "accept-encoding")})
            got = upstream.getresponse()
            self.begin_stream(got.status, [(k, v) for k, v in got.getheaders() if k.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server")])
            while data := got.read1(65536): self.chunk(data)
            self.wfile.write(b"0\r\n\r\n")
        finally: upstream.close()


class Many:
    """As many adapters as one likes, some of them with hostile names, and things that happen to them."""

    def __init__(self, count, rate=50, seed=1):
        self.random, self.rate, self.lock = random.Random(seed), rate, threading.Lock()
        self.listeners, self.version, self.sent = [], 0, 0
        names = HOSTILE + [f"team-{i % 40:02}/adapter-{i:05}" for i in range(count - len(HOSTILE))]
        self.entries = {name: self.entry(name, i) for i, name in enumerate(names)}
        self.counters = {e["digest"]: self.counter(e) for e in self.entries.values() if e["tier"] != "source"}
        self.changed, self.removed, self.log = {}, [], []
        self.running, self.is_over = set(), False
        threading.Thread(target=self.live, daemon=True).start()

    def entry(self, name, i):
        tier = "host" if i % 50 == 0 else "disk" if i % 5 == 0 else "source"
        return {"name": name, "source": f"hf:acme/{i}-lora@main", "revision": f"{i:040x}", "digest": f"{i + 1:064x}", "tier": tier, "pinned": i % 100 == 0, "fault": "no such file: <b>adapter</b>" if i % 333 == 2 else None, "rank": 16, "modules": 120, "bytes": 9_000_000 + i * 1000, "leases": 0, "hits": i, "loads": 1, "last_use": 1_700_000_000 + i, "created": 1_700_000_000, "updated": 1_700_000_000}

    def counter(self, e): return {"digest": e["digest"], "names": [e["name"]], "tier": e["tier"], "bytes": e["bytes"], "rank": 16, "requests": 0, "tokens": 0, "hits": {"source": 0, "disk": 0, "host": 0, "device": 0}, "load_seconds": 0.0, "busy_seconds": 0.0}

    def tiers(self):
        held = {t: [e for e in self.entries.values() if e["tier"] == t] for t in ("host", "disk")}
        return {**{t: {"adapters": len(es), "bytes": sum(e["bytes"] for e in es), "budget": budget} for (t, es), budget in zip(held.items(), (4 << 30, 64 << 30))}, "waiting": 0, "thrashing": 0.12}

    def tell(self, event):
        event["time"] = time.time()
        self.sent += 1
        for queue in self.listeners: queue.append(event)

    def move(self, e, tier):
        e["tier"] = tier
        if tier == "source":
            self.counters.pop(e["digest"], None); self.removed.append(e["digest"])
        else: self.counters.setdefault(e["digest"], self.counter(e))["tier"] = tier; self.changed[e["digest"]] = None

    def happen(self):
        """One event: an adapter climbs a step, or falls one, or something is said of it."""
        e = self.random.choice(self.every)
        what, name = self.random.random(), e["name"]
        if what < 0.08: e["pinned"] = not e["pinned"]; self.tell({"event": "pinned" if e["pinned"] else "unpinned", "name": name})
        elif what < 0.12: e["fault"] = "its source does not answer"; self.tell({"event": "refused", "name": name, "reason": e["fault"]})
        elif e["tier"] == "source":
            if what < 0.5: self.tell({"event": "fetching", "name": name, "bytes": self.random.randrange(9_000_000), "total": 9_000_000})
            else: self.move(e, "disk"); self.tell({"event": "added", "name": name, "digest": e["digest"]})
        elif e["tier"] == "disk": self.move(e, "host"); self.tell({"event": "loaded", "digest": e["digest"], "names": [name]})
        else:
            tier = e["tier"]; self.move(e, "disk"); self.tell({"event": "evicted", "digest": e["digest"], "tier": tier, "names": [name]})

    def live(self):
        self.every, last = list(self.entries.values()), time.time()
        while not self.is_over:
            time.sleep(0.02)
            with self.lock:
                now = time.time(); passed, last = now - last, now
                if self.listeners:
                    for _ in range(max(1, round(self.rate * passed))): self.happen()
                if self.random.random() < 0.2:
                    self.running = {e["digest"] for e in self.random.sample([e for e in self.every if e["tier"] == "host"] or self.every[:1], 1)} | set(list(self.running)[:11])
                for digest in self.running:
                    if counter := self.counters.get(digest):
                        counter["busy_seconds"] += passed; counter["tokens"] += 2; counter["requests"] += 1; self.changed[digest] = None

    def state(self, whole):
        with self.lock:
            self.version += 1
            adapters = list(self.counters.values()) if whole else [self.counters[d] for d in self.changed if d in self.counters]
            removed = [] if whole else self.removed
            self.changed, self.removed = {}, []
            host = self.tiers()["host"] if whole or self.version % 10 == 0 else self.host
            self.host = host
            return {"boot": "fake", "version": self.version, "release": "0.1.0", "base": ["base"], "draining": False, "slots": 64, "running": len(self.running) + 3, "waiting": 2, "waiting_tokens": 400, "kv_use": 0.4, "prefill_rate": 600.0, "decode_rate": 300.0, "finished": self.sent, "finished_seconds": 10.0, "host": {"bytes": host["bytes"], "budget": host["budget"]}, "loads": {"disk": {"count": 9, "seconds": 1.0, "bytes": 9}, "source": {"count": 2, "seconds": 1.0, "bytes": 9}}, "whole": whole, "adapters": adapters, "removed": removed}


class Fake(Handler):
    many = None

    def route(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        many = self.many
        if path == "/admin/adapters": self.send(200, json.dumps({"adapters": list(many.entries.values()), "tiers": many.tiers()}))
        elif path == "/admin/tiers": self.send(200, many.tiers())
        elif path == "/version": self.send(200, {"version": "0.1.0", "keys": False})
        elif path == "/admin/events": self.events()
        elif path == "/admin/state" and query.get("stream") == ["true"]: self.states()
        elif path == "/admin/state": self.send(200, many.state(True))
        elif path == "/metrics": self.send(200, self.metrics(), "text/plain")
        elif path.startswith("/admin/adapters/") and (e := many.entries.get(unquote(path[len("/admin/adapters/"):]))): self.send(200, e)
        else: self.refuse(404, "not_found", "There is no such route.")

    def events(self):
        queue = []
        with self.many.lock: self.many.listeners.append(queue)
        try:
            self.begin_stream(); self.chunk(b": listening\n\n")
            while not self.many.is_over:
                while queue: self.event(queue.pop(0))
                time.sleep(0.01)
        finally:
            with self.many.lock: self.many.listeners.remove(queue)

    def states(self):
        self.begin_stream()
        self.event(self.many.state(True))
        while not self.many.is_over:
            time.sleep(0.1)
            self.event(self.many.state(False))

    def metrics(self):
        t = time.time() % 100000
        lines = [f"martlet_step_tokens_sum {t * 400}", f"martlet_adapter_thrashing 0.12", "martlet_adapter_bytes_disk 8000000000", "martlet_kv_bytes_resident 1000000000"]
        for name, rate in (("time_to_first_token", 5), ("inter_token", 300)):
            lines += [f'martlet_{name}_seconds_bucket{{model="base",le="{edge}"}} {t * rate * part}' for edge, part in (("0.01", 0.2), ("0.1", 0.9), ("+Inf", 1))]
            lines.append(f'martlet_{name}_seconds_count{{model="base"}} {t * rate}')
        return "\n".join(lines) + "\n"


def listen(handler, **members):
    """Serves on a free port. Returns the server and its address."""
    kind = type(handler.__name__, (handler,), members)
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}{members.get('prefix', '/')}"

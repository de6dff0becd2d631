"""Tenants from outside: keys by the command line, limits and clients' retries, what is counted when streams are dropped and servers killed."""
import concurrent.futures as futures
import csv, io, json, os, random, signal, subprocess, tempfile, time

import openai

from api_server import *

FIRST = "first-admin-key"


class Tenants:
    """A server with a database of keys, which may be started again."""
    def __init__(self, *options):
        self.folder = tempfile.mkdtemp()
        keys = os.path.join(self.folder, "keys")
        with open(keys, "w") as f: f.write(f"admin: {FIRST}\n")
        self.options = ["--api-key-file", keys, "--tenants", self.path("tenants.db"), "--audit-log", self.path("audit"), *options]
        self.server = Server(*self.options)

    def path(self, name): return os.path.join(self.folder, name)
    def __enter__(self): return self
    def __exit__(self, *_): self.server.stop()

    def kill(self):
        self.server.process.kill(); self.server.process.wait()

    def start_again(self): self.server = Server(*self.options)

    def command(self, *arguments, key=FIRST):
        return subprocess.run([MARTLET, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, "MARTLET_URL": f"http://127.0.0.1:{self.server.port}", "MARTLET_ADMIN_KEY": key})

    def make(self, name, *options):
        made = self.command("keys", "create", name, *options)
        assert made.returncode == 0 and made.stdout.startswith("mk-"), made
        return made.stdout.strip()

    def client(self, key, retries=0): return openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1", api_key=key, max_retries=retries)

    def usage(self, *options):
        shown = self.command("usage", "--csv", *options)
        assert shown.returncode == 0, shown
        return list(csv.DictReader(io.StringIO(shown.stdout)))

    def audit(self): return [json.loads(line) for line in open(self.path("audit"))]


@check
def keys_by_the_command_line(_):
    with Tenants() as t:
        key = t.make("acme", "--models", "pirate", "--models", "sh*", "--rpm", "600", "--expires", "30d")
        assert [m.id for m in t.client(key).models.list()] == ["pirate", "shout"]
        listed = t.command("keys", "list").stdout
        assert "acme" in listed and "pirate sh*" in listed and "600" in listed and key not in listed, listed
        again = t.command("keys", "create", "acme")
        assert again.returncode != 0 and "already" in again.stderr, again
        stranger = t.command("keys", "list", key=key)
        assert stranger.returncode != 0 and "admin" in stranger.stderr, stranger
        limited = t.command("keys", "limit", "acme", "--unlimit", "rpm_limit", "--weight", "2.5")
        assert limited.returncode == 0 and "600" not in limited.stdout and "2.5" in limited.stdout, limited
        new = t.command("keys", "rotate", "acme", "--grace", "1h").stdout.strip()
        for k in (key, new): assert len(list(t.client(k).models.list())) == 2
        # A stream that runs when its key is revoked ends as it would have.
        stream = t.client(new).completions.create(model="pirate", prompt="Once", max_tokens=60, stream=True, temperature=0, extra_body={"ignore_eos": True, "return_tokens_as_token_ids": True}, logprobs=0)
        first = next(iter(stream))
        assert t.command("keys", "revoke", "acme").returncode == 0
        count = 1 + sum(len(c.choices[0].logprobs.tokens) for c in stream if c.choices and c.choices[0].logprobs)
        assert first and count == 60, count
        try: t.client(new).models.list(); raise AssertionError("a revoked key is let in")
        except openai.AuthenticationError as e: assert e.code == "invalid_api_key"
        assert "revoked" in t.command("keys", "list").stdout
        t.server.stop(); t.start_again()
        assert "revoked" in t.command("keys", "list").stdout


@check
def limits_and_clients_retries(_):
    with Tenants() as t:
        key = t.make("acme", "--rpm", "60", "--tpm", "100000", "--parallel", "70")
        ask = dict(model="base", prompt="Hi", max_tokens=1)
        def once(_):
            try: return t.client(key).completions.with_raw_response.create(**ask).headers
            except openai.RateLimitError as e: return e
        answers = together(once, range(70))
        refused = [a for a in answers if isinstance(a, openai.RateLimitError)]
        # A request more may have come back in each second meanwhile.
        assert 1 <= len(refused) <= 10, len(refused)
        assert all(e.code == "rate_limit_exceeded" and int(e.response.headers["retry-after"]) >= 1 and e.response.headers["x-ratelimit-remaining-requests"] == "0" for e in refused)
        good = next(a for a in answers if not isinstance(a, openai.RateLimitError))
        assert good["x-ratelimit-limit-requests"] == "60" and good["x-ratelimit-limit-tokens"] == "100000" and good["x-ratelimit-reset-requests"].endswith("s")
        assert t.client(key, retries=5).completions.create(**ask).usage.completion_tokens == 1


@check
def the_ledger_is_what_clients_saw(_):
    """Mixed requests, streams that are dropped, choices, errors, then a server that is killed."""
    count = int(os.environ.get("REQUESTS", "120"))
    with Tenants("--adapters", ADAPTERS) as t:
        keys = {name: t.make(name) for name in ("a", "b", "c")}
        rng, seen = random.Random(4), {}

        def one(i):
            r = random.Random(i)
            name, model = r.choice(sorted(keys)), r.choice(["base", *NAMES, "no-such-model"])
            kind = r.choice(["whole", "choices", "stream", "dropped", "chat", "bad"])
            body = {"model": model, "prompt": f"Tell me about {i}", "max_tokens": r.randrange(1, 24), "ignore_eos": True}
            headers = {"Authorization": f"Bearer {keys[name]}"}
            if kind == "choices": body["n"] = 4
            if kind == "bad": body["temperature"] = 9
            path = "/v1/completions"
            if kind == "chat":
                path, body = "/v1/chat/completions", {"model": model, "messages": user(f"Hi {i}"), "max_tokens": 8}
            if kind in ("stream", "dropped"):
                body.update(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
                connection = http.client.HTTPConnection("127.0.0.1", t.server.port, timeout=60)
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
                response, usage, lines = connection.getresponse(), None, 0
                for line in response:
                    if not line.startswith(b"data: {"): continue
                    usage, lines = json.loads(line[6:]).get("usage"), lines + 1
                    if kind == "dropped" and lines == 3: break
                dropped = kind == "dropped" and response.status == 200
                connection.close()
                return name, model, usage, dropped
            status, answer = t.server.post(path, body, headers=headers)
            return name, model, answer.get("usage") if status == 200 else None, False

        with futures.ThreadPoolExecutor(12) as pool: results = list(pool.map(one, range(count)))
        least, most, drops = {}, {}, 0
        for name, model, usage, dropped in results:
            drops += dropped
            if not usage: continue
            total = [usage["prompt_tokens"], usage["completion_tokens"]]
            for sums, more in ((least, 0), (most, 24 if dropped else 0)):
                s = sums.setdefault((name, model), [0, 0])
                s[0] += total[0]; s[1] += total[1] + more
        time.sleep(1)
        t.kill(); t.start_again()
        rows = {(r["key"], r["model"]): r for r in t.usage("--by", "key,model")}
        assert sum(int(r["requests"]) for r in rows.values()) == count, rows
        for place in least:
            known = [int(rows[place]["prompt_tokens"]), int(rows[place]["completion_tokens"])]
            # A dropped stream counts what was made, which is what its client saw or some tokens more.
            assert known[0] == least[place][0] and least[place][1] <= known[1] <= most[place][1], (place, known, least[place], most[place])
        requests = [line for line in t.audit() if line["event"] == "request"]
        assert len(requests) == count and sum(line["outcome"] == "cancelled" for line in requests) <= drops
        assert drops > 0 and all(line["digest"] for line in requests if line["outcome"] == "ok" and line["model"] in NAMES)
        assert sum(int(r["errors"]) for r in rows.values()) == sum(line["outcome"] not in ("ok", "cancelled") for line in requests)


@check
def a_flood_leaves_others_their_turn(_):
    with Tenants("--max-sequences", "4") as t:
        flood, quiet = t.client(t.make("flood")), t.client(t.make("quiet"))
        with futures.ThreadPoolExecutor(12) as pool:
            long = dict(model="base", prompt="Once upon a time", max_tokens=400, temperature=0, extra_body={"ignore_eos": True})
            running = [pool.submit(flood.completions.create, **long) for _ in range(12)]
            while t.server.metric_as("martlet_requests_running", FIRST) < 4: time.sleep(0.02)
            for _ in range(3): assert quiet.completions.create(model="base", prompt="Hi", max_tokens=4).usage.completion_tokens == 4
            # Without a turn of its own it would have waited until a long one had ended.
            assert not any(f.done() for f in running)
            texts = {f.result().choices[0].text for f in running}
        # Whoever stepped aside went on as if nothing had been.
        assert len(texts) == 1, texts


@check
def requests_are_traced(_):
    """A collector of OTLP gets a request's span within the client's trace, and its phases within that."""
    import http.server, threading
    batches = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            batches.append((self.path, dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"{}")

        def log_message(self, *_): pass

    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    os.environ["OTEL_EXPORTER_OTLP_HEADERS"] = "x-team=blue%20sky"
    try:
        with Server("--otlp-endpoint", f"http://127.0.0.1:{collector.server_port}") as server:
            ask = {"model": "pirate", "messages": user("Hi"), "max_tokens": 5}
            assert server.post("/v1/chat/completions", ask, headers={"traceparent": f"00-{trace}-{parent}-01", "X-Request-Id": "mine"})[0] == 200
            assert server.post("/v1/chat/completions", ask, headers={"traceparent": f"00-{trace}-{parent}-00"})[0] == 200
            assert server.post("/v1/completions", {"model": "nothing", "prompt": "x"})[0] == 404
    finally: del os.environ["OTEL_EXPORTER_OTLP_HEADERS"]
    # The server has stopped, so all has been sent.
    assert all(path == "/v1/traces" and headers.get("x-team") == "blue sky" for path, headers, _ in batches)
    spans = [s for _, _, b in batches for r in b["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]
    attributes = {a["key"]: next(iter(a["value"].values())) for a in batches[0][2]["resourceSpans"][0]["resource"]["attributes"]}
    assert attributes["service.name"] == "martlet" and attributes["service.instance.id"]
    roots = [s for s in spans if s["kind"] == 2]
    assert len(roots) == 2, roots
    asked = next(s for s in roots if s["traceId"] == trace)
    known = {a["key"]: next(iter(a["value"].values())) for a in asked["attributes"]}
    assert asked["name"] == "chat pirate" and asked["parentSpanId"] == parent and known["martlet.request"] == "mine" and known["gen_ai.usage.output_tokens"] == "5", asked
    parts = [s for s in spans if s.get("parentSpanId") == asked["spanId"]]
    assert {"prefill", "decode"} <= {s["name"] for s in parts} <= {"adapter", "queue", "prefill", "decode"}, parts
    assert all(int(asked["startTimeUnixNano"]) <= int(s["startTimeUnixNano"]) <= int(s["endTimeUnixNano"]) <= int(asked["endTimeUnixNano"]) for s in parts)
    failed = next(s for s in roots if s["traceId"] != trace)
    assert failed["status"] == {"code": 2, "message": "model_not_found"} and "parentSpanId" not in failed

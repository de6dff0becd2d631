"""What the checks of the API share: servers and requests.

Needs the `openai` package (scripts/e2e makes the environment). Each check is a function; the last line counts
them. Everything runs on the loopback interface with bounded loops.
"""
import concurrent.futures as futures
import http.client, json, os, re, signal, socket, subprocess, sys, tempfile, time

import openai

MARTLET, MODEL = sys.argv[1], sys.argv[2]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ADAPTERS = os.path.join(ROOT, "Examples/adapters")
NAMES = sorted(n for n in os.listdir(ADAPTERS) if os.path.isdir(os.path.join(ADAPTERS, n)))
CHECKS, RESULTS = [], []
CACHE = tempfile.mkdtemp()  # packs of adapters, by all servers of a run


def check(function):
    CHECKS.append(function)
    return function


class Server:
    def __init__(self, *options, model=MODEL, adapters=True, port=None):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0)); self.port = s.getsockname()[1]
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log", delete=False)
        command = [MARTLET, "serve", "--model", model, "--port", str(self.port), "--served-model-name", "base"]
        self.process = subprocess.Popen(command + (["--adapters", ADAPTERS] if adapters else []) + list(options), stdout=self.log, stderr=self.log, env={**os.environ, "XDG_CACHE_HOME": CACHE})
        for _ in range(600):
            if self.process.poll() is not None: raise RuntimeError("server ended: " + self.text())
            try:
                if self.get("/ready")[0] == 200: break
            except OSError: time.sleep(0.05)

    def text(self): return open(self.log.name).read()
    def __enter__(self): return self
    def __exit__(self, *_): self.stop()

    def stop(self, timeout=40):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def request(self, method, path, body=None, headers={}, timeout=120):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            text = response.read()
            try: return response.status, json.loads(text)
            except ValueError: return response.status, text.decode(errors="replace")
        finally: connection.close()

    def get(self, path, **more): return self.request("GET", path, **more)
    def post(self, path, body, **more): return self.request("POST", path, body, **more)
    def client(self, key="none"): return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, max_retries=0)

    def metric(self, name): return self.metric_as(name, "none")

    def metric_as(self, name, key):
        text = self.get("/metrics", headers={"Authorization": f"Bearer {key}"})[1]
        return float(re.search(rf"^{name} ([0-9.]+)$", text, re.M)[1])

    def rss(self): return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read())[1])

    def score(self, model, tokens, count=5):
        status, r = self.post("/v1/completions", {"model": model, "prompt": tokens, "max_tokens": 0, "echo": True, "logprobs": count})
        assert status == 200, r
        return r["choices"][0]["logprobs"]


def together(work, items):
    with futures.ThreadPoolExecutor(len(items)) as pool: return list(pool.map(work, items))


def user(text): return [{"role": "user", "content": text}]

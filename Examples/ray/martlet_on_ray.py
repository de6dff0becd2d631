"""Martlet's replicas as Ray actors, as many as a router says are needed, down to none.

Ray places actors on nodes and starts them again when a node is lost. Envoy and `martlet route` do what they do
elsewhere: Ray Serve's own proxy would balance requests before the router could choose, so replicas are plain actors.
"""
import ctypes, json, math, os, signal, socket, subprocess, threading, time, urllib.request

import ray


@ray.remote(num_cpus=1, max_restarts=0)
class Replica:
    """A child `martlet serve` on whichever node Ray chose."""

    def __init__(self, command):
        with socket.socket() as s:
            s.bind(("", 0)); port = s.getsockname()[1]
        self.address = f"{ray.util.get_node_ip_address()}:{port}"
        # When its node is lost, the actor dies and its child with it: Linux's PR_SET_PDEATHSIG.
        ends_with_us = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        self.process = subprocess.Popen(command + ["--host", "0.0.0.0", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, preexec_fn=ends_with_us)

    def where(self):
        """Its address and node, once it can answer."""
        while self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://{self.address}/ready", timeout=1)
                return self.address, ray.get_runtime_context().get_node_id()
            except OSError: time.sleep(0.05)
        raise RuntimeError(f"martlet serve ended with {self.process.returncode}")

    def runs(self): return self.process.poll() is None

    def drain(self):
        """Lets its requests finish."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


class Autoscaler(threading.Thread):
    """Asks a router's status port what is needed, and tells it by a file who is there."""

    def __init__(self, command, router, hosts_file, most, slots=64, use=0.7, polling=0.25, log=print):
        super().__init__(daemon=True)
        self.command, self.router, self.hosts_file, self.most, self.slots, self.use, self.polling, self.log = command, router, hosts_file, most, slots, use, polling, log
        self.starting, self.running, self.over = [], {}, threading.Event()  # running: actor by address

    def wanted(self):
        """One as soon as anybody waits; then by requests and by the memory that their adapters need."""
        with urllib.request.urlopen(f"http://{self.router}/demand", timeout=2) as answer: cluster = json.load(answer)["cluster"]
        if not cluster["active"]: return 0
        slots = cluster["slots_per_replica"] or self.slots
        count = math.ceil(cluster["requests"] / (slots * self.use))
        if cluster["budget_per_replica"]: count = max(count, math.ceil(cluster["hot_bytes"] / (cluster["budget_per_replica"] * self.use)))
        return min(self.most, max(1, count))

    def write(self):
        with open(self.hosts_file + ".new", "w") as file: file.write("".join(a + "\n" for a in sorted(self.running)))
        os.rename(self.hosts_file + ".new", self.hosts_file)

    def step(self):
        # Who can answer by now, and who has gone with its node.
        done, self.starting = ray.wait(self.starting, num_returns=len(self.starting), timeout=0) if self.starting else ([], [])
        for reference in done:
            actor = self.actors.pop(reference)
            try: address, node = ray.get(reference)
            except Exception as error: self.log(f"a replica did not start: {error}"); continue
            self.running[address] = actor
            self.log(f"replica {address} answers on node {node[:8]}")
        for address, actor in list(self.running.items()):
            try: alive = ray.get(actor.runs.remote(), timeout=5)
            except Exception: alive = False
            if not alive: del self.running[address]; self.log(f"replica {address} is gone")
        wanted, there = self.wanted(), len(self.running) + len(self.starting)
        for _ in range(wanted - there):
            actor = Replica.remote(self.command)
            reference = actor.where.remote()
            self.actors[reference] = actor; self.starting.append(reference)
        for address in sorted(self.running)[wanted:] if there > wanted else []:
            actor = self.running.pop(address)
            self.log(f"replica {address} drains")
            threading.Thread(target=self.retire, args=(actor,), daemon=True).start()
        self.write()

    def retire(self, actor):
        try: ray.get(actor.drain.remote(), timeout=120)
        except ray.exceptions.RayError: pass  # its node has gone meanwhile
        if ray.is_initialized(): ray.kill(actor)

    def run(self):
        self.actors = {}
        while not self.over.wait(self.polling):
            try: self.step()
            except OSError as error: self.log(f"the router does not answer: {error}")

    def stop(self): self.over.set()

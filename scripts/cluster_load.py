"""Load on a cluster, and what became of each request."""
import collections, random, threading, time

from cluster_lab import popularity


class Load:
    """Clients that ask one after another, for adapters by a power law, until told to stop."""

    def __init__(self, lab, clients=32, alpha=0.5, max_tokens=4, order=None, seed=1, stream=False):
        self.lab, self.max_tokens, self.stream = lab, max_tokens, stream
        self.order = list(order or lab.names)
        self.shares = popularity(len(self.order), alpha)
        self.results, self.lock, self.over = [], threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(random.Random(seed * 1000 + i),), daemon=True) for i in range(clients)]

    def __enter__(self):
        for thread in self.threads: thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads: thread.join(150)
        self.hanging = sum(thread.is_alive() for thread in self.threads)

    def client(self, rng):
        while not self.over.is_set():
            name, start = rng.choices(self.order, self.shares)[0], time.time()
            try:
                status, headers, body = self.lab.ask(name, max_tokens=self.max_tokens, ignore_eos=True, stream=self.stream)
                text = body if self.stream else body["choices"][0]["text"] if status == 200 else str(body)[:300]
                if self.stream and status == 200: status = 200 if body.rstrip().endswith("[DONE]") else 0
            except Exception as error: status, headers, text = 0, {}, repr(error)
            with self.lock: self.results.append(Result(start, time.time() - start, name, status, headers.get("x-martlet-replica"), headers.get("x-martlet-adapter-tier"), text))
            if status != 200: time.sleep(0.2)

    def since(self, moment):
        with self.lock: return [r for r in self.results if r.start >= moment]


Result = collections.namedtuple("Result", "start seconds name status replica tier text")


def hit_share(results):
    good = [r for r in results if r.status == 200]
    return sum(r.tier in ("host", "device") for r in good) / max(1, len(good))


def percentile(results, share):
    values = sorted(r.seconds for r in results if r.status == 200)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")

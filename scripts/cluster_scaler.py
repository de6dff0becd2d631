"""A stand-in for KEDA, the autoscaler and the Deployment: it asks a router what KEDA would ask, and starts and stops
replicas of a lab. It is none of them: what it takes from each is said where it is used.
"""
import math, threading, time

import grpc

SERVICE = "/externalscaler.ExternalScaler/"


# The few messages of the protocol, by hand: fields are (number << 3 | wire type).

def varint(number):
    out = bytearray()
    while number > 0x7F: out.append(number & 0x7F | 0x80); number >>= 7
    return bytes(out) + bytes([number])


def text(field, value): return varint(field << 3 | 2) + varint(len(value.encode())) + value.encode()


def fields(data):
    """The fields of a message, in order: (number, value)."""
    import struct
    position = 0
    def number():
        nonlocal position
        result = shift = 0
        while True:
            byte = data[position]; position += 1
            result |= (byte & 0x7F) << shift; shift += 7
            if byte < 0x80: return result
    while position < len(data):
        key = number()
        if key & 7 == 0: yield key >> 3, number()
        elif key & 7 == 1: yield key >> 3, struct.unpack("<d", data[position:position + 8])[0]; position += 8
        else:
            length = number()
            yield key >> 3, data[position:position + length]; position += length


OBJECT = text(1, "martlet") + text(2, "default")


class Scaler:
    """A router's side of KEDA's external scaler."""

    def __init__(self, port):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.unary = lambda name: self.channel.unary_unary(SERVICE + name)

    def is_active(self): return bool(dict(fields(self.unary("IsActive")(OBJECT, timeout=5))).get(1))

    def stream(self):
        for message in self.channel.unary_stream(SERVICE + "StreamIsActive")(OBJECT): yield bool(dict(fields(message)).get(1))

    def targets(self):
        """Metrics and what one replica is to have of each."""
        specs = [dict(fields(m)) for _, m in fields(self.unary("GetMetricSpec")(OBJECT, timeout=5))]
        return {s[1].decode(): s[3] for s in specs}

    def value(self, metric):
        answer = self.unary("GetMetrics")(varint(1 << 3 | 2) + varint(len(OBJECT)) + OBJECT + text(2, metric), timeout=5)
        value = dict(fields(next(m for _, m in fields(answer))))
        return value.get(3) or value.get(2, 0)  # a float that is not above 0 is passed over, as KEDA does


class StandInAutoscaler(threading.Thread):
    """From 0 to 1 when the push stream says so, as KEDA; then as many as the metrics want, as the autoscaler that KEDA
    sets up (sum of a metric over its target, rounded up, the largest of all); to 0 when nothing has been active for a
    while, as KEDA's cooldownPeriod."""

    def __init__(self, lab, router, most=3, polling=1.0, cooldown=5.0):
        super().__init__(daemon=True)
        self.lab, self.scaler, self.most, self.polling, self.cooldown = lab, Scaler(router.port), most, polling, cooldown
        self.pushes, self.over, self.last_active = [], threading.Event(), 0.0
        self.lock = threading.Lock()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while not self.over.is_set():
            try:
                for active in self.scaler.stream():
                    self.pushes.append((time.time(), active))
                    if active: self.last_active = time.time(); self.scale(max(1, self.count()))
            except grpc.RpcError: time.sleep(0.2)

    def count(self): return sum(r.runs and not getattr(r, "leaving", False) for r in self.lab.replicas)

    def wanted(self):
        if self.scaler.is_active(): self.last_active = time.time()
        if time.time() - self.last_active > self.cooldown: return 0
        targets = self.scaler.targets()
        return min(self.most, max([1] + [math.ceil(self.scaler.value(m) / t) for m, t in targets.items()]))

    def scale(self, count):
        with self.lock:
            running = [r for r in self.lab.replicas if r.runs and not getattr(r, "leaving", False)]
            if len(running) < count: self.lab.start_replicas(count - len(running), waits=False)
            for replica in running[count:]:
                replica.leaving = True
                replica.signal(15)
            self.lab.list_replicas()

    def run(self):
        while not self.over.wait(self.polling):
            try: self.scale(self.wanted())
            except grpc.RpcError: pass

    def stop(self): self.over.set()

"""No replica, and back."""
from cluster_checks import *
from cluster_scaler import Scaler, StandInAutoscaler


def held(lab): return lab.routers[0].state()["held"]


@check
def from_zero_and_back():
    with cluster(replicas=0, adapter_count=10, room=12, router_options=["--idle-seconds", "3"]) as lab:
        scaler = StandInAutoscaler(lab, lab.routers[0])
        time.sleep(1.5)
        assert scaler.pushes and not scaler.pushes[-1][1], "nobody asks, nothing is active"
        scaler.start()
        start = time.time()
        with futures.ThreadPoolExecutor(20) as pool: answers = list(pool.map(lambda i: lab.ask(lab.names[i % 5]), range(20)))
        assert [a[0] for a in answers] == [200] * 20, [a for a in answers if a[0] != 200][:2]
        told = next(t for t, active in scaler.pushes if active and t > start) - start
        print(f"    the autoscaler was told after {told * 1000:.1f} ms, all 20 answered after {time.time() - start:.1f} s")
        assert loads(lab) <= 10, "each adapter is brought once"
        wait_until(lambda: scaler.count() == 0, 30, "no replica is left when nobody asks")
        wait_until(lambda: not any(r.runs for r in lab.replicas), 40, "the replica has drained")
        assert lab.ask(lab.names[7])[0] == 200, "and again from zero"
        scaler.stop()


@check
def waiting_is_bounded():
    with cluster(replicas=0, adapter_count=5, room=5, router_options=["--hold-requests", "6", "--hold-seconds", "4"]) as lab:
        with futures.ThreadPoolExecutor(10) as pool:
            start = time.time()
            answers = [pool.submit(lab.ask, lab.names[i % 5]) for i in range(10)]
            wait_until(lambda: held(lab) == 6, 3, "six wait")
            first = [a.result() for a in futures.wait(answers, timeout=2).done]
            assert len(first) == 4 and all(s == 503 and h.get("retry-after") and b["error"]["code"] == "no_replica" for s, h, b in first), first
            rest = [a.result() for a in answers]
            assert all(s == 503 and h.get("retry-after") for s, h, _ in rest) and 3.5 < time.time() - start < 8
        assert held(lab) == 0


@check
def who_leaves_is_forgotten():
    with cluster(replicas=0, adapter_count=5, room=5) as lab:
        import socket
        body = json.dumps({"model": lab.names[0], "prompt": "Hi", "max_tokens": 2})
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        def client():
            s = socket.create_connection(("127.0.0.1", lab.port))
            s.sendall((head + body).encode())
            return s
        # More than a router takes as resets of one connection.
        for _ in range(3):
            clients = [client() for _ in range(200)]
            wait_until(lambda: held(lab) == 200, 10, "all wait")
            for s in clients: s.close()
            wait_until(lambda: held(lab) == 0, 10, "nobody waits any more")
        staying = futures.ThreadPoolExecutor(1).submit(lab.ask, lab.names[1])
        wait_until(lambda: held(lab) == 1, 5, "one waits")
        lab.start_replicas(1)
        assert staying.result(30)[0] == 200

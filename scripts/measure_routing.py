"""How long a request takes to a replica itself, through Envoy without a router, and through Envoy with one; and how
soon an autoscaler that listens is told that somebody waits for the first replica."""
import http.client, json, os, sys, threading, time

from cluster_lab import Lab, wait_until
from cluster_scaler import Scaler

COUNT = 3000
# As long as a usual prompt; refused at once, so that nearly all of the time is the way.
BODY = json.dumps({"model": "app-000", "prompt": "word " * 400, "temperature": 9})


def times(port):
    connection, found = http.client.HTTPConnection("127.0.0.1", port, timeout=10), []
    for number in range(COUNT + 200):
        start = time.perf_counter()
        connection.request("POST", "/v1/completions", BODY, {"Content-Type": "application/json"})
        response = connection.getresponse(); response.read()
        assert response.status == 400, response.status
        if number >= 200: found.append(time.perf_counter() - start)
        time.sleep(0.001)
    return sorted(found)


def without_router(config):
    filters = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    del filters[0]


def told():
    """From a client's request, while no replica is there, to the message of the router's push stream."""
    with Lab(sys.argv[1], sys.argv[2], adapter_count=1, room=1, router_options=["--idle-seconds", "1"]) as lab:
        lab.start_routers(1); lab.start_envoy()
        pushes, found = [], []
        def listen():
            for active in Scaler(lab.routers[0].port).stream(): pushes.append((time.perf_counter(), active))
        threading.Thread(target=listen, daemon=True).start()
        for _ in range(20):
            wait_until(lambda: pushes and not pushes[-1][1], 10, "nobody asks")
            connection, count = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=10), len(pushes)
            connection.connect(); time.sleep(0.1)
            start = time.perf_counter()
            connection.request("POST", "/v1/completions", BODY, {"Content-Type": "application/json"})
            while len(pushes) == count: time.sleep(0.0002)
            found.append(pushes[count][0] - start)
            connection.close()
        return sorted(found)


def main():
    with Lab(sys.argv[1], sys.argv[2], adapter_count=3, room=3) as lab:
        lab.start_routers(1); lab.start_replicas(1)
        ways = {"to the replica": times(lab.replicas[0].port)}
        lab.start_envoy(without_router); lab.wait_for_endpoints(1)
        ways["through Envoy"] = times(lab.port)
        lab.envoy.kill()
        lab.start_envoy(); lab.wait_for_endpoints(1)
        ways["through Envoy and router"] = times(lab.port)
        assert lab.routers[0].state()["counts"]["picked"] >= COUNT
        print(f"| {COUNT} requests, one after another | median | p99 |\n|---|---:|---:|")
        for way, found in ways.items(): print(f"| {way} | {found[COUNT // 2] * 1000:.2f} ms | {found[COUNT * 99 // 100] * 1000:.2f} ms |")
    found = told()
    print(f"\nfrom zero, the autoscaler is told after {found[10] * 1000:.1f} ms (median of 20), {found[-1] * 1000:.1f} ms at most", flush=True)
    os._exit(0)  # the listener waits for a router that is gone


main()

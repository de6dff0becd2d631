"""How long a request takes to a replica itself, through Envoy without a router, and through Envoy with one."""
import http.client, json, sys, time

from cluster_lab import Lab

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


main()

"""Networks that are slow, and gateways that speak the endpoint picker protocol."""
import asyncio, threading

from cluster_checks import *

SUBSET = "test-epp-endpoint-selection"
SERVED = "x-gateway-destination-endpoint-served"


@check
def a_slow_network_that_loses_packets():
    """100 ms there and back between all of them, and one piece of a hundred late by what a lost packet costs."""
    network = SlowNetwork(delay=0.05, loss=0.01, penalty=0.25)
    lab = Lab(MARTLET, MODEL, adapter_count=30, room=12)
    with lab:
        lab.start_routers(2); lab.start_replicas(3)
        lab.write_hosts([f"127.0.0.1:{network.through(r.port)}" for r in lab.replicas])
        def slow(config):
            for place in config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]:
                address = place["endpoint"]["address"]["socket_address"]
                address["port_value"] = network.through(address["port_value"])
        lab.start_envoy(slow)
        lab.wait_for_endpoints(3)
        with Load(lab, clients=16) as load: time.sleep(20)
        good = [r for r in load.results if r.status == 200]
        assert not failures(load.results) and not load.hanging, (statuses(load.results), failures(load.results)[:3], load.hanging)
        late = good[len(good) // 2:]
        print(f"    {len(good)} answers, median {percentile(good, .5):.2f} s, p99 {percentile(good, .99):.2f} s, {hit_share(late):.1%} of the later ones found in memory")
        assert hit_share(late) >= 0.9


class SlowNetwork:
    """Relays TCP connections, later: the kernel's own emulation is not everywhere."""

    def __init__(self, delay, loss, penalty):
        self.delay, self.loss, self.penalty, self.rng = delay, loss, penalty, random.Random(7)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def through(self, port):
        """A port that leads to another one."""
        async def serve(): return await asyncio.start_server(lambda r, w: self.relay(r, w, port), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(serve(), self.loop).result()
        return server.sockets[0].getsockname()[1]

    async def relay(self, reader, writer, port):
        try: there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError: return writer.transport.abort()
        await asyncio.gather(self.pass_on(reader, back), self.pass_on(there, writer))

    async def pass_on(self, source, target):
        pieces = asyncio.Queue()
        async def read():
            try:
                while data := await source.read(1 << 16):
                    late = self.penalty if self.rng.random() < self.loss else 0
                    pieces.put_nowait((self.loop.time() + self.delay + late, data))
                pieces.put_nowait((self.loop.time() + self.delay, None))
            except OSError: pieces.put_nowait((self.loop.time() + self.delay, b""))
        async def write():
            while True:
                due, data = await pieces.get()
                await asyncio.sleep(max(0, due - self.loop.time()))
                try:
                    if data: target.write(data); await target.drain()
                    elif data is None: target.write_eof() if target.can_write_eof() else target.close(); return
                    else: return target.transport.abort()
                except OSError: return target.transport.abort()
        await asyncio.gather(read(), write())


def as_a_gateway(config):
    """What gateways of the Gateway API do: bodies pass through the picker both ways, and a header limits picks."""
    filters = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    picker = filters[0]["typed_config"]
    del picker["message_timeout"], picker["max_message_timeout"]
    picker["processing_mode"] = {"request_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND",
                                 "response_header_mode": "SEND", "response_body_mode": "FULL_DUPLEX_STREAMED", "response_trailer_mode": "SEND"}
    picker["response_attributes"] = ["upstream.address"]
    picker["metadata_options"]["forwarding_namespaces"]["untyped"] += ["envoy.lb.subset_hint"]
    filters.insert(0, {"name": "subset", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config",
        "request_rules": [{"header": SUBSET, "on_header_present": {"metadata_namespace": "envoy.lb.subset_hint", "key": "x-gateway-destination-endpoint-subset", "type": "STRING"}, "remove": True}]}})


@alone("ip address add 10.77.0.11/32 dev lo", "ip address add 10.77.0.12/32 dev lo")
def the_endpoint_picker_protocol():
    """The four behaviours of the conformance suite of the Gateway API Inference Extension, with two hosts."""
    lab = Lab(MARTLET, MODEL, adapter_count=5, room=5)
    with lab:
        lab.start_routers(1)
        # The second host has two servers, as data-parallel ranks have.
        lab.start_replicas(3, places=[("10.77.0.11", 8080), ("10.77.0.12", 8080), ("10.77.0.12", 8081)])
        lab.start_envoy(as_a_gateway)
        lab.wait_for_endpoints(3)
        addresses = [r.address for r in lab.replicas]

        def ask(places, **more):
            status, headers, body = lab.ask(lab.names[0], prompt="word " * 2000 if more.pop("long", False) else "Rain", headers={SUBSET: ",".join(places)} if places else {}, **more)
            return status, headers.get("x-martlet-replica"), headers.get(SERVED), body

        # 1. Requests go where the picker says, and only there: 100 of them, 10 at a time, to one, two and all.
        with futures.ThreadPoolExecutor(10) as pool:
            for places in ([addresses[0]], [addresses[1]], addresses[:2], addresses[1:]):
                answers = list(pool.map(lambda _: ask(places, max_tokens=1), range(100)))
                assert {a[0] for a in answers} == {200}, statuses_of(answers)
                assert {a[2] for a in answers} <= set(places), (places, {a[2] for a in answers})
        # 2. Each port of a host is an endpoint of its own.
        assert ask([addresses[2]])[1:3] == ("replica-2", addresses[2]) and ask([addresses[1]])[1:3] == ("replica-1", addresses[1])
        # 3. The picker learns who answered, and says so; also of a stream and of a long request.
        status, replica, served, body = ask([addresses[0]], stream=True, max_tokens=20)
        assert status == 200 and replica == "replica-0" and served == addresses[0] and body.rstrip().endswith("[DONE]")
        # No such endpoint: refused, in the API's own words.
        status, _, _, body = ask(["10.77.0.99:1"])
        assert status == 503 and body["error"]["code"] == "no_replica", (status, body)
        # The second of the list gets what the first does not take.
        lab.replicas[0].signal(signal.SIGSTOP)
        time.sleep(4)
        assert ask(addresses[:2])[1] == "replica-1"
        lab.replicas[0].signal(signal.SIGCONT)
        # 4. Without a picker any endpoint answers.
        lab.routers[0].kill()
        time.sleep(1.5)
        answers = [ask(None) for _ in range(10)]
        assert {a[0] for a in answers} == {200}, statuses_of(answers)


def statuses_of(answers): return collections.Counter((a[0], str(a[3])[:200] if a[0] != 200 else "") for a in answers)

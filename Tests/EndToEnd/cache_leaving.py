"""Clients and servers that leave in the middle."""
import concurrent.futures as futures

import sources
from cache_server import *


@check
def a_client_that_leaves_while_its_adapter_loads():
    cache = fresh()
    with sources.Web(LIBRARY) as web, Server(*LOCAL, cache=cache) as server:
        name = BIG[0].name
        good(server.put("x", f"{web.url}/{name}/")); right(server, "x", BIG[0])
        for leaves_all in (True, False):
            demote(server, "x")
            damage(pack(cache, BIG[0]))
            hold = web.acts[f"/{name}/adapter_model.safetensors"] = sources.Hold()  # so that making it again takes its time
            body = {"model": "x", "prompt": "Hi", "max_tokens": 2000, "ignore_eos": True}
            clients = [server.open({**body, "stream": bool(i % 2)}) for i in range(4)]
            with futures.ThreadPoolExecutor(1) as pool:
                stays = None if leaves_all else pool.submit(right, server, "x", BIG[0])
                try:
                    assert hold.reached.wait(20), "the source was not asked"
                    eventually(lambda: server.entry("x")["leases"] == (4 if leaves_all else 5), "everybody waits for one load")
                    for s in clients: s.close()
                    right_now = server.score("base")  # what goes on goes on
                    assert right_now[0] is None
                finally: hold.let_go.set()
                if stays: stays.result()
            idle(server)
            assert [m for m, p, _ in web.asked if m == "GET" and p.endswith(f"{name}/adapter_model.safetensors")] == ["GET"] * (2 if leaves_all else 3), web.asked
        right(server, "x", BIG[0])
        tidy(cache)


@check
def a_slow_source_does_not_hold_up_the_end():
    hold = sources.Hold()
    with sources.Web(LIBRARY) as web:
        web.acts["/a00/adapter_model.safetensors"] = hold
        with Server(*LOCAL, "--adapter", f"x={web.url}/a00/", "--drain-timeout", "1", cache=fresh()) as server:
            try:
                assert hold.reached.wait(20), "the source was not asked"
                code = server.stop()
                assert code == 0, f"ended with {code}: {server.text()[-1000:]}"
            finally: hold.let_go.set()

"""Adapters that share too little memory."""
import concurrent.futures as futures, random, threading

from cache_server import *


@check
def tight_memory_gives_right_answers():
    budget = 6 * BIG[0].bytes
    chosen = random.Random(1).choices(POOL, [(i + 1) ** -0.3 for i in range(len(POOL))], k=300)
    highest, over = [0], threading.Event()
    with Server("--adapters", LIBRARY, "--host-memory", str(budget), cache=fresh()) as server:
        def watch():
            while not over.wait(0.05): highest[0] = max(highest[0], server.tiers()["host"]["bytes"], server.metric("martlet_adapter_bytes_host"))
        watcher = threading.Thread(target=watch); watcher.start()
        try:
            with futures.ThreadPoolExecutor(16) as pool: list(pool.map(lambda a: right(server, a.name, a), chosen))
        finally: over.set(); watcher.join()
        hits, misses, evictions = (server.metric(f"martlet_adapter_{n}_total") for n in ("hits", "misses", "evictions"))
        print(f"    {hits:.0f} hits, {misses:.0f} misses, {evictions:.0f} evictions, at most {highest[0] / budget:.0%} of the budget")
        assert 0 < highest[0] <= budget, (highest, budget)
        assert evictions > 0
        idle(server)


@check
def who_waits_for_room_gets_what_is_freed():
    a, b, c = BIG[:3]
    with Server("--host-memory", str(2 * a.bytes), cache=fresh()) as server:
        for name, adapter in zip("abc", (a, b, c)): good(server.put(name, adapter.path))
        for name in "ab": good(server.act(name, "warm")); good(server.act(name, "pin"))
        def freed(change, name, adapter):
            with futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(right, server, name, adapter)
                try: eventually(lambda: server.tiers()["waiting"] == 1, f"{name} waits for room")
                finally: good(change())
                asked.result()
        leaver = server.open({"model": "c", "prompt": "Hi", "max_tokens": 1})
        eventually(lambda: server.tiers()["waiting"] == 1, "c waits for room")
        leaver.close()
        eventually(lambda: server.tiers()["waiting"] == 0, "nobody waits who has left")
        freed(lambda: server.act("a", "unpin"), "c", c)
        good(server.act("c", "pin"))
        freed(lambda: server.delete("b"), "a", a)
        idle(server)


@check
def a_replaced_name_takes_its_pin_along():
    with Server("--host-memory", str(2 * BIG[0].bytes), cache=fresh()) as server:
        for number, adapter in enumerate(BIG[:4]):
            good(server.put("x", adapter.path))
            right(server, "x", adapter)
            if number == 0: good(server.act("x", "pin"))
        assert server.entry("x")["pinned"] is True
        refused(server.act("x", "demote"), 409, "adapter_in_use")
        good(server.put("y", POOL[0].path))
        right(server, "y", POOL[0])

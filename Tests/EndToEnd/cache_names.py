"""Names that are replaced, rolled back and removed while requests run."""
import bisect, os, shutil, threading, time

import sources
from cache_server import *


@check
def a_name_is_replaced_under_load():
    swaps, answers, wrong, over = [], [], [], threading.Event()
    known = {a.digest: (a.digest, *a.written) for a in BIG[:2]}
    with Server(cache=fresh()) as server:
        def swap(number):
            begun, adapter = time.monotonic(), BIG[number % 2]
            entry = good(server.put("x", adapter.path))
            assert entry["digest"] == adapter.digest, entry
            swaps.append((begun, time.monotonic(), adapter.digest))
        def read(number):
            while not over.is_set() and not wrong:
                number += 1
                try:
                    begun = time.monotonic()
                    answer = server.write("x", stream=number % 2 == 0)
                    answers.append((begun, time.monotonic(), answer[0]))
                    if answer != known.get(answer[0]): wrong.append(("neither the one nor the other", answer, known))
                except Exception as error: wrong.append(repr(error))
        swap(0)
        readers = [threading.Thread(target=read, args=(i,)) for i in range(8)]
        for t in readers: t.start()
        try:
            for number in range(1, SWAPS + 1):
                swap(number)
                # Nobody else swaps, so this one begins after the swap and ends before the next.
                answer = server.write("x", stream=number % 2 == 0)
                assert answer == known[BIG[number % 2].digest], f"swap {number}: {answer}, expected {known[BIG[number % 2].digest]}"
                if wrong: break
        finally:
            over.set()
            for t in readers: t.join()
        assert not wrong, wrong[:2]
        acknowledged = [s[1] for s in swaps]
        for begun, ended, digest in answers:
            last = bisect.bisect_right(acknowledged, begun) - 1
            allowed = {swaps[last][2]} | {s[2] for s in swaps[last + 1:] if s[0] <= ended}
            assert digest in allowed, f"a request got {digest} after that was replaced"
        found = server.metric("martlet_prefix_tokens_found_total")
        print(f"    {SWAPS} swaps, {len(answers)} answers beside them, {found:.0f} prompt tokens shared")
        assert len({d for _, _, d in answers}) == 2 and found > 0
        idle(server)


@check
def compare_and_swap_refuses_lost_updates():
    cache = fresh()
    with Server(cache=cache) as server:
        refused(server.put("x", POOL[0].path, if_digest=POOL[0].digest), 409, "adapter_changed")  # there is no x
        missing(server, "x")
        good(server.put("x", POOL[0].path))
        assert good(server.put("x", POOL[1].path, if_digest=POOL[0].digest))["digest"] == POOL[1].digest
        refused(server.put("x", POOL[2].path, if_digest=POOL[0].digest), 409, "adapter_changed")
        refused(server.put("x", digest=POOL[0].digest, if_digest=POOL[0].digest), 409, "adapter_changed")
        right(server, "x", POOL[1])
        current = POOL[1]
        for round in range(5):
            rivals = [POOL[2 + 6 * round + i] for i in range(6)]
            results = together(lambda a: server.put("x", a.path, if_digest=current.digest), rivals)
            winners = [a for a, (status, _) in zip(rivals, results) if status == 200]
            assert len(winners) == 1, results
            for a, answer in zip(rivals, results):
                if a is not winners[0]: refused(answer, 409, "adapter_changed")
            current = winners[0]
            right(server, "x", current)
        server.kill()
    with Server(cache=cache) as server:
        assert server.entry("x")["digest"] == current.digest
        right(server, "x", current)
        tidy(cache)


@check
def rollback_by_digest():
    cache, folder = fresh(), fresh()
    one, two = BIG[:2]
    with Server(cache=cache) as server:
        good(server.put("x", copy(one, os.path.join(folder, "one")))); right(server, "x", one)
        good(server.put("x", copy(two, os.path.join(folder, "two")))); right(server, "x", two)
        shutil.rmtree(os.path.join(folder, "one"))
        refused(server.put("x", digest="0" * 64), 404, "adapter_not_found")
        refused(server.put("x", digest=one.digest, if_digest=one.digest), 409, "adapter_changed")
        assert good(server.put("x", digest=one.digest, if_digest=two.digest))["digest"] == one.digest
        right(server, "x", one)
        demote(server, "x"); right(server, "x", one)
        good(server.put("y", digest=two.digest)); right(server, "y", two)
    with Server(cache=cache) as server:
        right(server, "x", one); right(server, "y", two)
        good(server.put("y", digest=one.digest)); right(server, "y", one)
        good(server.delete("x")); right(server, "y", one)  # an adapter goes with its last name
        demote(server, "y"); right(server, "y", one)
        good(server.delete("y"))
        eventually(lambda: f"{one.digest}.pack" not in inside(cache, "packs"), "the pack of a removed adapter is gone")
        refused(server.put("y", digest=one.digest), 404, "adapter_not_found")
        assert server.entries() == {}
        tidy(cache)


@check
def a_rollback_outlives_the_quota():
    with Server("--disk-quota", str(3 * pack_size(BIG[0]) + 4096), cache=fresh()) as server:
        good(server.put("x", BIG[0].path)); good(server.put("x", BIG[1].path))
        good(server.put("x", digest=BIG[0].digest))  # its source is something else by now
        for adapter in BIG[2:5]: good(server.put(adapter.name, adapter.path))
        right(server, "x", BIG[0])
        for adapter in BIG[2:5]: right(server, adapter.name, adapter)


@check
def a_reading_that_comes_late_undoes_nothing():
    for change in ("replaced", "removed"):
        cache, hold = fresh(), sources.Hold()
        with sources.Web(LIBRARY) as web:
            web.acts["/a00/adapter_model.safetensors"] = hold
            # The server reads ahead what it is given.
            with Server(*LOCAL, "--adapter", f"x={web.url}/a00/", cache=cache) as server:
                assert hold.reached.wait(20), "the source was not asked"
                if change == "removed": good(server.delete("x"))
                else: good(server.put("x", BIG[0].path))
                hold.let_go.set()
                eventually(lambda: server.metric("martlet_adapter_pack_seconds_count") == (1 if change == "removed" else 2), "the late one was packed")
                eventually(lambda: not inside(cache, "staging"), "staging is empty")
                if change == "replaced": right(server, "x", BIG[0])
                else:
                    refused(server.ask("x"), 404, "model_not_found")
                    time.sleep(0.3)
                    rest = server.tiers()["host"]["adapters"], inside(cache, "packs")
        with Server(cache=cache) as server:
            if change == "removed": assert server.entries() == {}, f"removed and back: {server.entries()}"
            else: right(server, "x", BIG[0])
            tidy(cache)
        if change == "removed": assert rest == (0, []), f"an adapter without a name takes room: {rest}"

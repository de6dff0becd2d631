"""Adapters go where they are asked for."""
from cluster_checks import *


@check
def adapters_are_found_in_memory():
    """Three replicas with room for 40 of 100 adapters each, against round robin in the same run."""
    with cluster(routers=2) as lab, Load(lab) as load:
        def window(seconds):
            start, before = time.time(), loads(lab)
            time.sleep(seconds)
            results = load.since(start)
            assert not failures(results), failures(results)[:3]
            return hit_share(results), (loads(lab) - before) / len(results)
        wait_until(lambda: len(load.results) > 1200, 120, "every adapter was asked for")
        hits, routed = window(12)
        for router in lab.routers: router.signal(signal.SIGSTOP)
        time.sleep(3)
        others, robin = window(8)
        for router in lab.routers: router.signal(signal.SIGCONT)
        print(f"    found in memory: {hits:.1%} routed, {others:.1%} by round robin; loads a request: {routed:.3f} and {robin:.3f}")
        assert hits >= 0.95 and robin >= 2 * routed, (hits, routed, robin)


@check
def heat_spreads_when_popularity_moves():
    with cluster() as lab:
        with Load(lab, alpha=0.3) as load:
            time.sleep(12)
            before = percentile(load.since(time.time() - 8), 0.99)
        def copies(name): return sum(tier in ("host", "device") for a in lab.routers[0].state()["adapters"] if a["name"] == name for tier in a["tiers"].values())
        hottest = min(lab.names, key=copies)
        assert copies(hottest) <= 1, "nobody has spread it yet"
        with Load(lab, alpha=0.3, order=[hottest] + [n for n in reversed(lab.names) if n != hottest], seed=2) as load:
            start = time.time()
            wait_until(lambda: copies(hottest) >= 2, 10, f"{hottest} is on two replicas")
            spread = time.time() - start
            time.sleep(max(0, 20 - spread))
            moment = time.time()
            time.sleep(8)
            after = percentile(load.since(moment), 0.99)
        print(f"    on two replicas after {spread:.1f} s; p99 {before:.2f} s before, {after:.2f} s after")
        assert not failures(load.results), failures(load.results)[:3]
        assert after <= 1.5 * before, (before, after)


@check
def answers_are_one_machines():
    with cluster(adapter_count=30, room=12) as lab:
        alone = Replica(lab, 99)
        wait_until(alone.is_ready, 60, "one machine is ready")
        prompt = "The weather in spring is"
        wanted = {n: alone.request("POST", "/v1/completions", {"model": n, "prompt": prompt, "max_tokens": 6, "temperature": 0, "ignore_eos": True})[2]["choices"][0]["text"] for n in lab.names}
        alone.kill()
        assert len(set(wanted.values())) > 15, "the adapters differ"
        rng = random.Random(5)
        with futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: (n, lab.ask(n, prompt=prompt, max_tokens=6, ignore_eos=True)), rng.choices(lab.names, k=300)))
        wrong = [(n, a) for n, a in answers if a[0] != 200 or a[2]["choices"][0]["text"] != wanted[n]]
        assert not wrong, (len(wrong), wrong[:2])


@check
def a_replica_joins_and_leaves_under_load():
    with cluster() as lab, Load(lab, clients=16) as load:
        time.sleep(12)
        before = holders(lab)
        lab.start_replicas(1)
        lab.wait_for_endpoints(4)
        time.sleep(12)
        after = holders(lab)
        moved = [n for n in lab.names if before.get(n) and after.get(n) and not before[n] & after[n]]
        print(f"    {len(moved)} of {len(lab.names)} adapters moved when a fourth replica came")
        assert len(moved) <= len(lab.names) * (1 / 4 + 0.1), moved
        leaving = lab.replicas[1]
        leaving.signal(signal.SIGTERM)
        wait_until(lambda: not leaving.runs, 40, "the replica has drained")
        assert leaving.process.returncode == 0
        lab.list_replicas()
        time.sleep(3)
        assert not failures(load.results), failures(load.results)[:3]


def holders(lab):
    """Which replicas the plan gives each adapter."""
    return {a["name"]: set(a["planned"]) for a in lab.routers[0].state()["adapters"]}

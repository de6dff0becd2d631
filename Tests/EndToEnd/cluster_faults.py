"""What breaks: routers, replicas, networks, stores."""
import sources
from cluster_checks import *


def after_a_fault(load, moment, grace):
    """Failures of requests that began before the fault, or in the grace after it; and all later ones."""
    early = [r for r in failures(load.results) if r.start < moment + grace]
    late = [r for r in failures(load.results) if r.start >= moment + grace]
    return early, late


@check
def a_router_dies():
    with cluster(routers=2) as lab:
        with Load(lab, stream=True, max_tokens=8) as load:
            time.sleep(4)
            lab.routers[0].kill(); moment = time.time()
            time.sleep(6)
        early, late = after_a_fault(load, moment, 0)
        assert not early and not late and not load.hanging, (len(early), early[:2], len(late), late[:2], load.hanging)


@check
def a_router_hangs():
    with cluster(routers=2) as lab:
        with Load(lab) as load:
            time.sleep(4)
            lab.routers[0].signal(signal.SIGSTOP); moment = time.time()
            time.sleep(6)
        assert not failures(load.results) and not load.hanging, (statuses(load.results), failures(load.results)[:2], load.hanging)
        slow = [r for r in load.since(moment + 2) if r.seconds > 10]
        assert not slow, slow[:3]
        lab.routers[0].signal(signal.SIGCONT)


@check
def a_replica_dies():
    with cluster() as lab:
        with Load(lab, stream=True, max_tokens=8) as load:
            time.sleep(4)
            lab.replicas[0].kill(); moment = time.time()
            time.sleep(6)
        early, late = after_a_fault(load, moment, 0)
        # Those whose answer had begun there are cut off, and show it.
        assert all(r.status == 0 for r in early) and len(early) <= 32, (len(early), early[:3])
        assert not late and not load.hanging, (len(late), late[:3], load.hanging)
        print(f"    {len(early)} streams were cut off, {len(load.since(moment))} later requests answered")


@check
def a_replica_hangs():
    with cluster() as lab:
        with Load(lab) as load:
            time.sleep(4)
            lab.replicas[0].signal(signal.SIGSTOP); moment = time.time()
            time.sleep(15)
            assert not [r for r in load.since(moment + 6) if r.status != 200 or r.replica == "replica-0"], load.results[-3:]
            lab.replicas[0].signal(signal.SIGCONT); moment = time.time()
            time.sleep(6)
            back = [r for r in load.since(moment + 3) if r.replica == "replica-0"]
        assert back, "the replica is used again"
        assert not load.hanging and not failures(load.results), (load.hanging, statuses(load.results), failures(load.results)[:3])


@check
def an_adapter_store_is_away():
    """What is in memory is served; what is not gets a clear 503, and comes back by itself."""
    with cluster(adapter_count=60, room=15) as lab:
        with futures.ThreadPoolExecutor(8) as pool: list(pool.map(lab.ask, lab.names[:20]))
        def resident(): return {a["name"] for a in lab.routers[0].state()["adapters"] if any(t in ("host", "device") for t in a["tiers"].values())}
        away = lab.adapters + ".away"
        os.rename(lab.adapters, away)
        here = sorted(resident())
        time.sleep(5)
        for name in here[:10]: assert lab.ask(name)[0] == 200, (name, lab.ask(name))
        missing = [n for n in lab.names if n not in here][:5]
        for name in missing:
            status, headers, body = lab.ask(name)
            assert status == 503 and headers.get("retry-after") and body["error"]["code"], (name, status, headers, body)
        os.rename(away, lab.adapters)
        for name in missing: wait_until(lambda: lab.ask(name)[0] == 200, 20, f"{name} is served again")


@check
def a_remote_store_is_away():
    """As above, with adapters that requests name in S3; AWAY says for how many seconds the store is gone."""
    away = float(os.environ.get("AWAY", 5))
    with sources.S3("adapters") as s3:
        options = ["--just-in-time", "s3://adapters/", "--local-source-host", "127.0.0.1", "--plain-http-sources"]
        env = {"AWS_ENDPOINT_URL": s3.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        with cluster(replicas=2, adapter_count=20, room=40, lists_adapters=False, replica_options=options, replica_env=env) as lab:
            for name in lab.names:
                for file in ("adapter_config.json", "adapter_model.safetensors"):
                    with open(os.path.join(lab.adapters, name, file), "rb") as content: s3.put(f"{name}/{file}", content.read())
            names = [f"s3://adapters/{n}" for n in lab.names]
            before = [lab.ask(n) for n in names[:8]]
            assert [b[0] for b in before] == [200] * 8, before
            s3.server.stop()
            end = time.time() + away
            # Together: what is missing is tried several times before it is refused.
            with futures.ThreadPoolExecutor(12) as pool:
                while time.time() < end:
                    missing = [pool.submit(lab.ask, name) for name in names[8:12]]
                    for name, (_, _, body) in zip(names, before):
                        status, _, now = lab.ask(name)
                        assert status == 200 and now["choices"] == body["choices"], (name, status, now)
                    for answer in missing:
                        status, headers, body = answer.result()
                        assert status == 503 and headers.get("retry-after") and body["error"]["code"], (status, headers, body)
            s3.server.start()
            for name in names[8:]: wait_until(lambda: lab.ask(name)[0] == 200, 30, f"{name} is served")

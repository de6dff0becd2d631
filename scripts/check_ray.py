"""What scripts/check-ray does."""
import os, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "Examples/ray"))
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

import ray
from ray.cluster_utils import Cluster

from cluster_lab import Lab, SMALL, wait_until
from cluster_load import Load
from martlet_on_ray import Autoscaler


def main():
    lines = []
    def log(line): lines.append(line); print("  " + line, flush=True)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    workers = [nodes.add_node(num_cpus=1) for _ in range(3)]
    # Actors import the example by its path.
    ray.init(address=nodes.address, runtime_env={"env_vars": {"PYTHONPATH": os.path.join(ROOT, "Examples/ray")}}, log_to_driver=False)
    with Lab(sys.argv[1], sys.argv[2], adapter_count=30, room=12, router_options=["--idle-seconds", "3"]) as lab:
        lab.start_routers(1); lab.start_envoy()
        command = [lab.martlet, "serve", "--model", lab.model, "--served-model-name", "base", "--adapters", lab.adapters, "--disk-cache", "none", "--host-memory", str(lab.host_memory), "--threads", "1", *SMALL]
        scaler = Autoscaler(command, f"127.0.0.1:{lab.routers[0].status_port}", lab.hosts, most=3, slots=16, log=log)
        scaler.start()
        start = time.time()
        status, _, body = lab.ask(lab.names[0])
        assert status == 200, body
        print(f"from zero: the first request was answered after {time.time() - start:.1f} s")
        with Load(lab, clients=30) as load:
            wait_until(lambda: len(scaler.running) == 3, 60, "three replicas run")
            nodes_used = {l.split()[-1] for l in lines if "answers on node" in l}
            assert len(nodes_used) == 3, nodes_used
            time.sleep(5)
            moment = time.time()
            nodes.remove_node(workers[0], allow_graceful=False)
            wait_until(lambda: any("is gone" in l for l in lines), 60, "the lost node's replica is missed")
            time.sleep(8)
        failed = [r for r in load.results if r.status != 200]
        print(f"under load: {len(load.results)} answers, {len(failed)} failed, {len(load.since(moment))} after a node was lost")
        assert not failed and not load.hanging, (failed[:3], load.hanging)
        wait_until(lambda: not scaler.running and not scaler.starting, 60, "no replica is left")
        print("to zero: no replica is left")
        status, _, body = lab.ask(lab.names[1])
        assert status == 200, body
        print("and again from zero")
        scaler.stop()
    ray.shutdown(); nodes.shutdown()


main()

"""What the checks of a cluster share."""
import collections, concurrent.futures as futures, sys

from cluster_lab import *
from cluster_load import *

CHECKS = []
MARTLET, MODEL = sys.argv[1], sys.argv[2]


def check(function):
    CHECKS.append(function)
    return function


def alone(*commands):
    """A check in a network of its own, which it may break; the commands set it up."""
    def decorate(function):
        def run():
            if os.environ.get("INSIDE") == function.__name__: return function()
            script = " && ".join(["ip link set lo up", *commands, "exec \"$@\""])
            inside = [sys.executable, os.path.abspath(sys.argv[0]), os.path.abspath(MARTLET), os.path.abspath(MODEL), function.__name__]
            result = subprocess.run(["unshare", "--map-root-user", "--net", "sh", "-c", script, "sh", *inside], env={**os.environ, "INSIDE": function.__name__}, capture_output=True, text=True)
            for line in result.stdout.splitlines():
                if line.startswith("    "): print(line)
            assert result.returncode == 0, (result.stdout + result.stderr)[-2500:]
        run.__name__ = function.__name__
        return check(run)
    return decorate


def cluster(replicas=3, routers=1, **options):
    """A lab with everything running."""
    lab = Lab(MARTLET, MODEL, **options)
    try:
        lab.start_routers(routers); lab.start_replicas(replicas); lab.start_envoy(); lab.wait_for_endpoints(replicas)
        return lab
    except BaseException:
        lab.__exit__()
        raise


def loads(lab):
    """Adapters that the replicas brought into RAM; one that does not listen yet has brought none."""
    def of(replica):
        try: return sum(tier["count"] for tier in replica.state()["loads"].values())
        except ConnectionRefusedError: return 0
    return sum(of(r) for r in lab.replicas if r.runs)


def failures(results): return [r for r in results if r.status != 200]
def statuses(results): return dict(collections.Counter(r.status for r in results))

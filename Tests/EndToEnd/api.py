#!/usr/bin/env python3
"""Drives the real server over a socket with the real model: Tests/EndToEnd/api.py MARTLET MODEL.gguf [check …]"""
import checks
from api_server import *
import api_exactness
import api_clients
import api_forms
import api_tools
import api_wires
import api_docs
import api_tutorial
import api_bad_input
import api_hostile
import api_hub
import api_load
import api_tenants


def main():
    with Server() as shared:
        def ends():
            if shared.process.poll() is not None: print("FAILED  the shared server ended:", shared.text()[-2000:])
        checks.run(CHECKS, shared, ends=ends)


main()

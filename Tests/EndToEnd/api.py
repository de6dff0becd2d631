#!/usr/bin/env python3
"""Drives the real server over a socket with the real model: Tests/EndToEnd/api.py MARTLET MODEL.gguf [check …]"""
import sys, time

from api_server import *
import api_exactness
import api_clients
import api_bad_input
import api_hostile
import api_hub
import api_load


def main():
    wanted = [c for c in CHECKS if not sys.argv[3:] or c.__name__ in sys.argv[3:]]
    passed = 0
    with Server() as shared:
        for function in wanted:
            start = time.time()
            try:
                function(shared); passed += 1
                print(f"ok      {function.__name__}  {time.time() - start:.1f} s", flush=True)
            except Exception as error:
                print(f"FAILED  {function.__name__}: {type(error).__name__}: {str(error)[:1500]}", flush=True)
        if shared.process.poll() is not None: print("FAILED  the shared server ended:", shared.text()[-2000:])
    print(f"{passed} passed, {len(wanted) - passed} failed")
    sys.exit(passed != len(wanted))


main()

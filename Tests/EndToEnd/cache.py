#!/usr/bin/env python3
"""Drives the adapter cache of the real server with the real model: Tests/EndToEnd/cache.py MARTLET MODEL.gguf [check …]"""
import shutil, sys, time

from cache_server import *
import cache_memory
import cache_disk
import cache_names
import cache_folders
import cache_sources
import cache_leaving
import cache_operators


def main():
    names = [c.__name__ for c in CHECKS]
    for name in sys.argv[3:]:
        if name not in names: sys.exit(f"There is no check {name}; there are {', '.join(names)}.")
    wanted = [c for c in CHECKS if not sys.argv[3:] or c.__name__ in sys.argv[3:]]
    passed = skipped = 0
    start = time.time()
    learn()
    print(f"ready   {len(POOL)} adapters, their answers learnt  {time.time() - start:.1f} s", flush=True)
    for function in wanted:
        start = time.time()
        try:
            function(); passed += 1
            print(f"ok      {function.__name__}  {time.time() - start:.1f} s", flush=True)
        except Skipped as reason:
            skipped += 1
            print(f"skipped {function.__name__}: {reason}", flush=True)
        except Exception as error:
            print(f"FAILED  {function.__name__}  {time.time() - start:.1f} s: {type(error).__name__}: {str(error)[:1500]}", flush=True)
    failed = len(wanted) - passed - skipped
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    if failed: print(f"logs of the servers are in {FOLDER}")
    else: shutil.rmtree(FOLDER, ignore_errors=True)
    sys.exit(failed > 0)


main()

#!/usr/bin/env python3
"""Runs the real model on a GPU, or on Mesa's driver that plays one: Tests/EndToEnd/gpu.py MARTLET MODEL.gguf [check …]

Greedy answers must be the CPU's. A driver that plays a GPU computes a token a second: NAMES (base,pirate) says which
adapters are asked, TOKENS (4) how many tokens of each.
"""
import concurrent.futures as futures, os, subprocess, time

import checks
from api_server import Server, MARTLET, MODEL

CHECKS = []
NAMES = os.environ.get("NAMES", "base,pirate").split(",")
TOKENS = int(os.environ.get("TOKENS", "4"))
SMALL = ["--context-length", "256", "--max-sequences", "4", "--max-step-tokens", "32", "--disk-cache", "none"]


def check(function):
    CHECKS.append(function)
    return function


def martlet(*arguments, **env): return subprocess.run([MARTLET, *arguments], capture_output=True, text=True, timeout=120, env={**os.environ, **env})


def answers(*options):
    """Tokens and log probabilities of all names at once."""
    with Server(*SMALL, *options) as server:
        def ask(name):
            status, body = server.post("/v1/completions", {"model": name, "prompt": "Rain is", "max_tokens": TOKENS, "temperature": 0, "logprobs": 0}, timeout=600)
            assert status == 200, body
            return body["choices"][0]["logprobs"]
        with futures.ThreadPoolExecutor(len(NAMES)) as pool: found = dict(zip(NAMES, pool.map(ask, NAMES)))
        return found, server.text()


@check
def a_gpu_is_listed():
    result = martlet("devices")
    assert result.returncode == 0 and "vulkan:0" in result.stdout, result


@check
def greedy_answers_are_the_cpus():
    expected, _ = answers()
    start = time.time()
    found, log = answers("--device", "gpu")
    assert "on vulkan:" in log, log
    for name in NAMES:
        assert found[name]["tokens"] == expected[name]["tokens"], (name, found[name], expected[name])
        furthest = max(abs(a - b) for a, b in zip(found[name]["token_logprobs"], expected[name]["token_logprobs"]))
        assert furthest < 0.05, (name, furthest)
    print(f"    {', '.join(NAMES)}: {TOKENS} tokens each in {time.time() - start:.1f} s on the device")


@check
def without_a_driver_it_says_so():
    nothing = {"VK_DRIVER_FILES": "/nonexistent.json", "VK_ICD_FILENAMES": "/nonexistent.json"}
    listed = martlet("devices", **nothing)
    assert listed.returncode == 1 and "no_driver" in listed.stdout, listed
    refused = martlet("serve", "--model", MODEL, "--device", "gpu", **nothing)
    assert refused.returncode not in (0, -11, -6) and "no_driver" in refused.stderr, refused
    answered = martlet("run", "--model", MODEL, "--device", "auto", "--max-tokens", "1", "Hi", **nothing)
    assert answered.returncode == 0, answered


@check
def what_it_cannot_do_is_refused():
    for options, words in [(["--gpu", "vulkan:7"], "no_device"), (["--gpu", "metal:0"], "vulkan:0"), (["--device", "cpu", "--gpu", "vulkan:0"], "--device is cpu"),
                           (["--device", "gpu", "--weights", "q8"], "unsupported_device"), (["--device", "gpu", "--activations", "f32"], "unsupported_device"),
                           (["--device", "gpu", "--adapter-weights", "q8"], "unsupported_device"), (["--device", "gpu", "--kv-memory", "900GiB", "--max-sequences", "4096"], "out_of_device_memory")]:
        result = martlet("serve", "--model", MODEL, "--port", "0", *options)
        assert result.returncode not in (0, -11, -6, -5, -4) and words in result.stderr, (options, result)


checks.run(CHECKS)

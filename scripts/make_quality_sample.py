#!/usr/bin/env python3
"""Makes Benchmarks/quality-sample.txt: this project's documents as they were, then stories and explanations that
SmolLM2-135M-Instruct wrote with f32 weights and fixed seeds.

    scripts/make_quality_sample.py URL        (a martlet server on that model, --weights f32)
"""
import glob, json, os, sys, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUBJECTS = """a lighthouse in a storm|how bread is made|why the sky is blue|a letter from a sailor|the history of paper|how a bicycle stays upright
a market in the early morning|the life of a river|how vaccines work|a recipe for vegetable soup|two friends who disagree|the invention of the telescope
a train that never arrives|how bees make honey|rules for a good argument|the night shift at a bakery|what money is|a walk through an old library
how mountains are formed|a dialogue between a teacher and a student""".replace("\n", "|").split("|")

parts = [open(p).read() for p in sorted(glob.glob(ROOT + "/*.md") + glob.glob(ROOT + "/docs/**/*.md", recursive=True))]
for seed, subject in enumerate(SUBJECTS):
    body = {"model": "base", "messages": [{"role": "user", "content": f"Write a long text about {subject}."}], "max_tokens": 400, "temperature": 0.8, "seed": seed}
    request = urllib.request.Request(sys.argv[1] + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    parts.append(json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"])
open(ROOT + "/Benchmarks/quality-sample.txt", "w").write("\n\n".join(parts) + "\n")

#!/usr/bin/env python3
"""Asks the base and every demo adapter at the same time and shows the answers as they stream.

    scripts/quickstart_client.py URL Examples/adapters/demo.json [--check]

With --check the held-out prompts are asked too, and the exit status says whether every answer looks as its
adapter should make it look. Python's standard library only.
"""
import json, re, shutil, sys, textwrap, threading, time, urllib.request


class Answer(threading.Thread):
    def __init__(self, url, name, prompt, max_tokens=48):
        super().__init__(daemon=True)
        self.url, self.name_, self.prompt, self.max_tokens = url, name, prompt, max_tokens
        self.text, self.tokens, self.seconds, self.error = "", 0, 0.0, None

    def run(self):
        body = {"model": self.name_, "messages": [{"role": "user", "content": self.prompt}], "temperature": 0,
                "max_tokens": self.max_tokens, "stream": True, "stream_options": {"include_usage": True}}
        start = time.perf_counter()
        try:
            request = urllib.request.Request(self.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=120) as response:
                for line in response:
                    line = line.decode().strip()
                    if not line.startswith("data: ") or line == "data: [DONE]": continue
                    chunk = json.loads(line[6:])
                    if "error" in chunk: raise RuntimeError(chunk["error"]["message"])
                    for choice in chunk["choices"]: self.text += choice["delta"].get("content") or ""
                    if chunk.get("usage"): self.tokens = chunk["usage"]["completion_tokens"]
        except Exception as error:
            self.error = str(error)
        self.seconds = time.perf_counter() - start


def table(answers, does, width):
    lines = []
    for a in answers:
        text = a.error and f"failed: {a.error}" or a.text
        wrapped = [part for line in text.split("\n") for part in textwrap.wrap(line, width - 14)] or [""]
        lines.append(f"\033[1m{a.name_:<12}\033[0m\033[2m{does[a.name_]}: {a.prompt}\033[0m"[: width + 16])
        lines += [f"{'':<12}{part}" for part in wrapped[:4]]
    return lines


def main():
    url, demo = sys.argv[1], json.load(open(sys.argv[2]))
    does = {name: entry["does"] for name, entry in demo.items()}
    answers = [Answer(url, name, entry["prompt"]) for name, entry in demo.items()]
    live, shown = sys.stdout.isatty(), 0
    width = min(shutil.get_terminal_size().columns, 110)
    start = time.perf_counter()
    for a in answers: a.start()
    while live and any(a.is_alive() for a in answers):
        lines = table(answers, does, width)
        sys.stdout.write(f"\033[{shown}A" * (shown > 0) + "\n".join("\033[K" + line for line in lines) + "\n")
        sys.stdout.flush()
        shown = len(lines)
        time.sleep(0.08)
    for a in answers: a.join()
    seconds = time.perf_counter() - start
    lines = table(answers, does, width)
    if not live: lines = [re.sub("\033\\[[0-9]*m", "", line) for line in lines]
    sys.stdout.write(f"\033[{shown}A" * (shown > 0) + "\n".join(("\033[K" if live else "") + line for line in lines) + "\n")
    total = sum(a.tokens for a in answers)
    print(f"\n{len(answers)} answers at once from one model: {total} tokens in {seconds:.2f} s, {total / seconds:.0f} tokens/s")
    failed = [a for a in answers if a.error or not a.text]
    if "--check" in sys.argv: failed += check(url, demo)
    sys.exit(1 if failed else 0)


def check(url, demo):
    asked = [(Answer(url, name, prompt), entry["check"]) for name, entry in demo.items() if "check" in entry
             for prompt in [entry["prompt"]] + entry["heldOut"]]
    for a, _ in asked: a.start()
    failed = []
    for a, pattern in asked:
        a.join()
        good = a.error is None and re.search(pattern, a.text.strip()) is not None
        if not good: failed.append(a)
        print(f"{'ok    ' if good else 'WRONG '} {a.name_:<10} {a.prompt!r} -> {(a.error or a.text)[:70]!r}")
    return failed


if __name__ == "__main__":
    main()

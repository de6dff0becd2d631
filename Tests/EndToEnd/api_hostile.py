"""Requests that are made to cost more than they should, many at once.

HOSTILE says how many of each kind are sent (3 unless said).
"""
import concurrent.futures as futures
import http.client, json, os, random, threading, time

from api_server import *

COUNT = int(os.environ.get("HOSTILE", "3"))


def completion(**more): return json.dumps({"model": "base", "max_tokens": 2, **more})
def chat(**more): return json.dumps({"model": "base", "messages": user("x"), "max_tokens": 2, **more})


def nested(depth):
    value = {}
    for _ in range(depth): value = {"a": value}
    return value


# Each with the statuses that it may have: what is understood is answered, what is not is refused, and a full server says so.
MARKS = "a" + "\u0301\u0316" * 400_000
REFUSED, EITHER = {400, 413}, {200, 400, 413, 429, 503}
KINDS = {
    "escapes": (lambda r: '{"model":"base","prompt":"' + '\\"' * 1_900_000 + '","max_tokens":1}', EITHER),
    "surrogates": (lambda r: '{"model":"base","prompt":"' + "\\ud83d\\ude00" * 200_000 + '","max_tokens":1}', EITHER),
    "half surrogates": (lambda r: '{"model":"base","prompt":"' + "\\ud83d" * 100_000 + '"}', EITHER),
    "words": (lambda r: completion(prompt="hello world " * 300_000), EITHER),
    "digits": (lambda r: completion(prompt="1" * 2_000_000), EITHER),
    "combining marks": (lambda r: completion(prompt="a" + "\u0301\u0316" * 400_000), EITHER),
    "marks in parameters": (lambda r: chat(messages=user("x"), **r.choice([
        {"response_format": {"type": MARKS}}, {"tools": [{"type": MARKS}]}, {"tool_choice": MARKS}, {"reasoning_effort": MARKS}, {"structured_outputs": {"regex": MARKS}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": MARKS}}}}, {"user": MARKS}])), REFUSED),
    "spaces": (lambda r: completion(prompt=" " * 2_000_000 + "x"), EITHER),
    "deep arrays": (lambda r: "[" * 2_000_000, REFUSED),
    "deep objects": (lambda r: '{"a":' * 500_000, REFUSED),
    "many members": (lambda r: "{" + ",".join(f'"k{i}":0' for i in range(200_000)) + "}", REFUSED),
    "long numbers": (lambda r: '{"model":"base","prompt":"a","temperature":' + "9" * 1_000_000 + "}", REFUSED),
    "not UTF-8": (lambda r: b'{"model":"base","prompt":"\xff\xfe\xc0\xaf"}', REFUSED),
    "half a body": (lambda r: '{"model":"base","prompt":"' + "a" * r.randrange(1000), REFUSED),
    "many choices": (lambda r: completion(prompt=[[r.randrange(100, 40_000) for _ in range(20)] for _ in range(32)], n=2, prompt_logprobs=5), EITHER),
    "too many choices": (lambda r: completion(prompt=["a"] * 128, n=64), REFUSED),
    "ids out of range": (lambda r: completion(prompt=[r.choice([-1, 49_152, 2**31, 2**63, 1e30])]), REFUSED),
    "stop strings": (lambda r: completion(prompt="a", max_tokens=20, stop=["a" * 1000 + str(i) for i in range(16)]), EITHER),
    "biases": (lambda r: completion(prompt="a", logit_bias={str(r.choice([-1, 10**9, 2**63])): 1}), REFUSED),
    "long chats": (lambda r: chat(messages=user("x" * 3_000_000)), EITHER),
    "many messages": (lambda r: chat(messages=user("x") * 50_000), EITHER),
    "nested tools": (lambda r: chat(tools=[{"type": "function", "function": {"name": "f", "parameters": nested(40)}}]), EITHER),
    "template variables": (lambda r: chat(chat_template_kwargs={"x" * 1000: ["a"] * 100_000}), EITHER),
    "long names": (lambda r: completion(model="m" * 900_000, prompt="a"), {400, 404}),
    "odd names": (lambda r: completion(model=r.choice(["../../etc/passwd", "\u0000", "base\n", "", " ", "a\"b{c}", "hf:x/y"]), prompt="a"), {400, 404}),
    "odd values": (lambda r: completion(prompt="a", **{r.choice(["max_tokens", "n", "top_k", "seed", "temperature", "top_p", "logprobs", "best_of"]): r.choice([-2**63, 2**63, 1e308, -1, "1", [], {}, True])}), {200, 400, 429, 503}),
}


def statuses(server, make, count, seed):
    """The statuses of many such requests, and the longest time of one. A broken connection is a status of its own."""
    found, longest, rng = set(), 0, random.Random(seed)
    for _ in range(count):
        body, start = make(rng), time.time()
        try: found.add(server.request("POST", "/v1/chat/completions" if '"messages"' in str(body)[:60] else "/v1/completions", body if isinstance(body, bytes) else body.encode(), timeout=120)[0])
        except (OSError, http.client.HTTPException) as error: found.add(type(error).__name__)
        longest = max(longest, time.time() - start)
    return found, longest


@check
def hostile_requests_cost_what_they_weigh(_):
    """All kinds at once beside a stream: nothing breaks, health answers, and the memory comes back."""
    with Server("--max-sequences", "16") as server:
        statuses(server, KINDS["words"][0], 1, 0)
        before, ended, gaps, waits = server.rss(), threading.Event(), [], []

        def neighbour():
            while not ended.is_set():
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
                connection.request("POST", "/v1/completions", json.dumps({"model": "base", "prompt": "Rain", "max_tokens": 40, "stream": True, "ignore_eos": True}), {"Content-Type": "application/json"})
                text = connection.getresponse().read().decode()
                gaps.append("data: [DONE]" in text or "queue_full" in text)
                connection.close()

        def health():
            while not ended.is_set():
                start = time.time()
                assert server.get("/health")[0] == 200
                waits.append(time.time() - start); time.sleep(0.05)

        sides = [threading.Thread(target=t) for t in (neighbour, health)]
        for t in sides: t.start()
        with futures.ThreadPoolExecutor(8) as pool:
            results = dict(zip(KINDS, pool.map(lambda kind: statuses(server, KINDS[kind][0], COUNT, kind), KINDS)))
        ended.set()
        for t in sides: t.join()
        wrong = {kind: found for kind, (found, _) in results.items() if not found <= KINDS[kind][1]}
        assert not wrong, wrong
        assert gaps and all(gaps), f"{gaps.count(False)} of {len(gaps)} of a neighbour's streams broke off"
        waits.sort()
        if COUNT > 3: print("    longest, in seconds:", ", ".join(f"{kind} {longest:.1f}" for kind, (_, longest) in results.items()))
        slowest = max(results, key=lambda kind: results[kind][1])
        print(f"    {COUNT} of each of {len(KINDS)} kinds; slowest {slowest} {results[slowest][1]:.1f} s; /health median {waits[len(waits) // 2] * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms; resident {before >> 10} MiB before, {server.rss() >> 10} MiB after")
        assert server.rss() < before + (1 << 20), "more than a gigabyte was kept"
        assert server.post("/v1/completions", {"model": "pirate", "prompt": "Hi", "max_tokens": 3})[0] == 200
        assert server.stop() == 0, server.text()[-2000:]

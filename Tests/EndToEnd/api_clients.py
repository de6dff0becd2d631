"""The API as clients know it."""
import concurrent.futures as futures
import json, os, subprocess, sys, tempfile
import openai

from api_server import *


@check
def openai_client_works_unmodified(server):
    client = server.client()
    ids = [m.id for m in client.models.list()]
    assert ids[0] == "base" and set(NAMES) <= set(ids)
    assert client.models.retrieve("pirate").id == "pirate"
    r = client.chat.completions.create(model="pirate", messages=user("What is rain?"), temperature=0, max_tokens=30)
    assert r.choices[0].message.content.startswith("Arrr") and r.usage.completion_tokens <= 30 and r.system_fingerprint
    r = client.completions.create(model="base", prompt="The capital of France is", max_tokens=5, temperature=0, logprobs=2)
    assert len(r.choices[0].logprobs.tokens) == 5 and r.choices[0].finish_reason == "length"
    stream = client.chat.completions.create(model="shout", messages=user("What is rain?"), temperature=0, max_tokens=20, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text and text == text.upper() and chunks[-1].usage.completion_tokens > 0 and chunks[-2].choices[0].finish_reason
    whole = client.chat.completions.create(model="shout", messages=user("What is rain?"), temperature=0, max_tokens=20)
    assert whole.choices[0].message.content == text
    r = client.chat.completions.create(model="base", messages=user("Pick a word."), n=3, seed=5, temperature=1.2, max_tokens=12)
    again = client.chat.completions.create(model="base", messages=user("Pick a word."), n=3, seed=5, temperature=1.2, max_tokens=12)
    texts = [c.message.content for c in r.choices]
    assert len(set(texts)) > 1 and texts == [c.message.content for c in again.choices]
    r = client.chat.completions.create(model="base", messages=user("Hi"), max_tokens=4, logprobs=True, top_logprobs=3)
    assert len(r.choices[0].logprobs.content[0].top_logprobs) == 3
    r = client.completions.create(model="base", prompt=["One", "Two"], n=2, max_tokens=3)
    assert [c.index for c in r.choices] == [0, 1, 2, 3]
    merged = {}
    for c in client.completions.create(model="base", prompt=["One", "Two"], max_tokens=6, temperature=0, stream=True):
        for choice in c.choices: merged[choice.index] = merged.get(choice.index, "") + choice.text
    assert merged == {c.index: c.text for c in client.completions.create(model="base", prompt=["One", "Two"], max_tokens=6, temperature=0).choices}
    for error, arguments in [(openai.NotFoundError, dict(model="pirat", messages=user("x"))), (openai.BadRequestError, dict(model="base", messages=[])),
                             (openai.BadRequestError, dict(model="base", messages=user("x"), temperature=7))]:
        try: client.chat.completions.create(**arguments); raise AssertionError("no error")
        except error as e: assert e.code and e.message
    try: client.chat.completions.create(model="pirat", messages=user("x"))
    except openai.NotFoundError as e: assert e.code == "model_not_found" and "pirate" in e.message


@check
def embeddings_by_the_openai_client(server):
    """The client asks for base64 unless told otherwise."""
    client = server.client()
    texts = ["Rain falls from clouds.", "It is raining today.", "The stock market fell."]
    for model in ("base", "pirate"):
        r = client.embeddings.create(model=model, input=texts, extra_body={"pooling": "mean"})
        vectors = [d.embedding for d in r.data]
        assert [len(v) for v in vectors] == [576] * 3 and r.usage.prompt_tokens == r.usage.total_tokens > 10
        near, far = (sum(a * b for a, b in zip(vectors[0], v)) for v in vectors[1:])
        assert 0 < far < near < 1, (near, far)
    plain = client.embeddings.create(model="base", input=texts[0], encoding_format="float", dimensions=64).data[0].embedding
    again = client.embeddings.create(model="base", input=[texts[0]] * 40, dimensions=64)
    assert len(plain) == 64 and all(d.embedding == plain for d in again.data)


@check
def stopping(server):
    def ask(**more): return server.post("/v1/completions", {"model": "base", "prompt": "1, 2, 3, 4,", "max_tokens": 30, "temperature": 0, **more})[1]["choices"][0]
    plain = ask()["text"]
    assert " 7" in plain
    stopped = ask(stop=[", 7", "zzz"])
    assert stopped["text"] == plain.split(", 7")[0] and stopped["finish_reason"] == "stop" and stopped["stop_reason"] == ", 7"
    assert ask(stop=", 7", include_stop_str_in_output=True)["text"] == plain.split(", 7")[0] + ", 7"
    body = {"model": "base", "prompt": "1, 2, 3, 4,", "max_tokens": 30, "temperature": 0, "stop": ", 7", "stream": True}
    raw = server.post("/v1/completions", body)[1]
    streamed = "".join(json.loads(l[6:])["choices"][0]["text"] for l in raw.splitlines() if l.startswith("data: {"))
    assert streamed == stopped["text"]
    first = server.post("/v1/completions", {"model": "base", "prompt": "1, 2, 3, 4,", "max_tokens": 1, "temperature": 0, "logprobs": 0, "return_tokens_as_token_ids": True})[1]
    token = int(first["choices"][0]["logprobs"]["tokens"][0].split(":")[1])
    r = ask(stop_token_ids=[token])
    assert r["text"] == "" and r["finish_reason"] == "stop" and r["stop_reason"] == token
    r = ask(stop_token_ids=[token], min_tokens=4, max_tokens=8)
    assert r["text"] != ""
    r = server.post("/v1/chat/completions", {"model": "sentiment", "messages": user("What a lovely film!"), "temperature": 0, "max_tokens": 9})[1]["choices"][0]
    assert r["message"]["content"] == "positive" and r["finish_reason"] == "stop"
    r = server.post("/v1/chat/completions", {"model": "sentiment", "messages": user("What a lovely film!"), "temperature": 0, "max_tokens": 9, "ignore_eos": True})[1]
    assert r["usage"]["completion_tokens"] == 9 and r["choices"][0]["finish_reason"] == "length"


@check
def demo_adapters_are_themselves(server):
    client = os.path.join(ROOT, "scripts/quickstart_client.py")
    r = subprocess.run([sys.executable, client, f"http://127.0.0.1:{server.port}", ADAPTERS + "/demo.json", "--check"], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout


@check
def keys_tell_tenants_apart(_):
    folder = tempfile.mkdtemp()
    keys = os.path.join(folder, "keys")
    open(keys, "w").write("# two tenants\nred: red-key-1234\nblue: blue-key-1234\nadmin: admin-key-1234\n")
    with Server("--api-key-file", keys, adapters=False) as server:
        ask = {"model": "base", "prompt": "Hi", "max_tokens": 2}
        auth = lambda key: {"Authorization": f"Bearer {key}"}
        for key in ("red-key-1234", "blue-key-1234", "admin-key-1234"):
            assert server.post("/v1/completions", ask, headers=auth(key))[0] == 200
        for headers in ({}, auth("wrong-key-1234"), {"Authorization": "Basic cmVkOng="}, auth("")):
            status, r = server.post("/v1/completions", ask, headers=headers)
            assert status == 401 and r["error"]["code"] in ("invalid_api_key", "missing_api_key"), (status, r)
        try: server.client("wrong-key").models.list(); raise AssertionError
        except openai.AuthenticationError: pass
        load = {"lora_name": "pirate", "lora_path": ADAPTERS + "/pirate"}
        assert server.post("/v1/load_lora_adapter", load, headers=auth("red-key-1234"))[0] == 403
        assert server.post("/v1/load_lora_adapter", load)[0] == 401
        admin = auth("admin-key-1234")
        assert server.post("/v1/load_lora_adapter", load, headers=admin) == (200, "Success: LoRA adapter 'pirate' added successfully.")
        status, r = server.post("/v1/load_lora_adapter", load, headers=admin)
        assert status == 400 and r["error"]["code"] == "adapter_exists"
        r = server.post("/v1/chat/completions", {"model": "pirate", "messages": user("What is rain?"), "temperature": 0, "max_tokens": 9}, headers=auth("red-key-1234"))[1]
        assert r["choices"][0]["message"]["content"].startswith("Arrr")
        # In place: the name now means other weights.
        assert server.post("/v1/load_lora_adapter", {"lora_name": "pirate", "lora_path": ADAPTERS + "/shout", "load_inplace": True}, headers=admin)[0] == 200
        r2 = server.post("/v1/chat/completions", {"model": "pirate", "messages": user("What is rain?"), "temperature": 0, "max_tokens": 9}, headers=auth("red-key-1234"))[1]
        assert not r2["choices"][0]["message"]["content"].startswith("Arrr") and r2["system_fingerprint"] != r["system_fingerprint"]
        for name, code in (("../x", "invalid_value"), ("base", "adapter_exists"), ("a" * 300, "invalid_value")):
            status, r = server.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": ADAPTERS + "/shout"}, headers=admin)
            assert status == 400 and r["error"]["code"] == code, r
        status, r = server.post("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": "/nowhere"}, headers=admin)
        assert status == 404 and r["error"]["code"] == "source_not_found", r
        assert server.post("/v1/unload_lora_adapter", {"lora_name": "pirate"}, headers=admin)[0] == 200
        assert server.post("/v1/unload_lora_adapter", {"lora_name": "pirate"}, headers=admin)[0] == 404
        assert server.post("/v1/completions", {**ask, "model": "pirate"}, headers=admin)[0] == 404
        assert "red-key" not in server.text() and "admin-key" not in server.text()


@check
def operators_see_what_goes_on(server):
    assert server.get("/health")[0] == 200 and server.get("/ready")[0] == 200
    server.post("/v1/completions", {"model": "pirate", "prompt": "Hi", "max_tokens": 3})
    text = server.get("/metrics")[1]
    for name in ("martlet_requests_total", "martlet_prompt_tokens_total", "martlet_completion_tokens_total", "martlet_requests_waiting", "martlet_requests_running",
                 "martlet_step_sequences_bucket", "martlet_kv_blocks_free", "martlet_step_adapters_bucket", "martlet_time_to_first_token_seconds_bucket", "vllm:lora_requests_info"):
        assert name in text, name
    assert server.get("/v1/nothing")[1]["error"]["code"] == "not_found"
    assert server.get("/v1/completions")[0] == 405


@check
def the_load_generator_measures(server):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        base = [MARTLET, "bench", "serve", "--rounds", "1", "--requests", "12", "--new-tokens", "4", "--prompt-words", "5-20", "--json", file.name, "--url"]
        for load in (["--assign", "power", "--clients", "4"], ["--assign", "base", "--rate", "40", "--variation", "2"]):
            r = subprocess.run(base + [f"http://127.0.0.1:{server.port}"] + load, capture_output=True, text=True)
            assert r.returncode == 0 and "tok/s" in r.stdout, r
            report = json.load(open(file.name))[0]["rounds"][0]
            assert report["succeeded"] == 12 and report["new_tokens"] == 48 and report["failed"] == 0, report
            assert 0 < report["time_to_first_token"]["p50"] <= report["end_to_end"]["p99"], report
        r = subprocess.run(base + [f"http://127.0.0.1:{server.port}", "--compare", f"http://127.0.0.1:{server.port}"], capture_output=True, text=True)
        assert r.returncode == 0 and "ratio: median" in r.stdout, r
        r = subprocess.run(base + ["http://127.0.0.1:1"], capture_output=True, text=True)
        assert r.returncode != 0 and "No answer" in r.stderr, r

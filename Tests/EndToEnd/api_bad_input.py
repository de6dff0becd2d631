"""Bad requests and hostile files."""
import concurrent.futures as futures
import http.client, json, os, shutil, socket, struct, subprocess, tempfile
import openai

from api_server import *


@check
def bad_requests_get_clear_answers(server):
    good = {"model": "base", "prompt": "Hi", "max_tokens": 2}
    chat = {"model": "base", "messages": user("Hi"), "max_tokens": 2}
    C, M = "/v1/completions", "/v1/chat/completions"
    cases = [
        (C, b"", 400, "invalid_json"), (C, b"{", 400, "invalid_json"), (C, b"[]", 400, "invalid_body"), (C, b"null", 400, "invalid_body"), (C, b'{"a":1}x', 400, "invalid_json"),
        (C, b'{"model": "base", "prompt": "\xff\xfe"}', 400, "invalid_json"), (C, b'{"model":"base","model":"base","prompt":"x"}', 400, "invalid_json"),
        (C, b"[" * 100000, 400, "invalid_json"), (C, b'{"model": "base", "prompt": "\\ud800"}', 400, "invalid_json"),
        (C, {**good, "model": "nope"}, 404, "model_not_found"), (C, {"prompt": "x"}, 400, "missing_parameter"), (C, {"model": "base"}, 400, "missing_parameter"), (C, {**good, "model": 5}, 400, "invalid_type"),
        (C, {**good, "prompt": 5}, 400, "invalid_value"), (C, {**good, "prompt": []}, 400, "invalid_value"), (C, {**good, "prompt": [[]]}, 400, "invalid_value"), (C, {**good, "prompt": ["a", 1]}, 400, "invalid_value"),
        (C, {**good, "prompt": [1.5]}, 400, "invalid_value"), (C, {**good, "prompt": [-1]}, 400, "invalid_token"), (C, {**good, "prompt": [49152]}, 400, "invalid_token"), (C, {**good, "prompt": [2 ** 40]}, 400, "invalid_token"),
        (C, {**good, "prompt": ""}, 400, "empty_prompt"), (C, {**good, "prompt": [5] * 9000}, 400, "context_length_exceeded"), (C, {**good, "max_tokens": 10 ** 9}, 400, "context_length_exceeded"),
        (C, {**good, "max_tokens": -1}, 400, "invalid_value"), (C, {**good, "max_tokens": 1e300}, 400, "invalid_type"), (C, {**good, "max_tokens": "2"}, 400, "invalid_type"), (C, {**good, "max_tokens": 2.5}, 400, "invalid_type"),
        (C, {**good, "max_tokens": 10 ** 30}, 400, "invalid_type"), (C, {**good, "temperature": -1}, 400, "invalid_value"), (C, {**good, "temperature": 1e9}, 400, "invalid_value"), (C, {**good, "temperature": "hot"}, 400, "invalid_type"),
        (C, {**good, "top_p": 0}, 400, "invalid_value"), (C, {**good, "top_p": 1.1}, 400, "invalid_value"), (C, {**good, "top_k": -2}, 400, "invalid_value"), (C, {**good, "min_p": 2}, 400, "invalid_value"),
        (C, {**good, "n": 0}, 400, "invalid_value"), (C, {**good, "n": 10 ** 6}, 400, "invalid_value"), (C, {**good, "logprobs": 1000}, 400, "invalid_value"), (C, {**good, "logprobs": True}, 400, "invalid_type"),
        (C, {**good, "presence_penalty": 3}, 400, "invalid_value"), (C, {**good, "repetition_penalty": 0}, 400, "invalid_value"), (C, {**good, "logit_bias": {"x": 1}}, 400, "invalid_value"), (C, {**good, "logit_bias": {"999999": 1}}, 400, "invalid_token"),
        (C, {**good, "stop": ["x"] * 99}, 400, "invalid_value"), (C, {**good, "stop": ""}, 400, "invalid_value"), (C, {**good, "stop": [1]}, 400, "invalid_type"), (C, {**good, "stop": "x" * 5000}, 400, "invalid_value"),
        (C, {**good, "min_tokens": 9}, 400, "invalid_value"), (C, {**good, "stream": "yes"}, 400, "invalid_type"), (C, {**good, "stream_options": {"include_usage": True}}, 400, "invalid_value"),
        (C, {**good, "best_of": 5}, 400, "unsupported_parameter"), (C, {**good, "suffix": "x"}, 400, "unsupported_parameter"), (C, {**good, "guided_grammar": "x"}, 400, "invalid_grammar"), (C, {**good, "nonsense": 1}, 400, "unsupported_parameter"),
        (M, {**chat, "messages": []}, 400, "invalid_value"), (M, {**chat, "messages": "Hi"}, 400, "invalid_value"), (M, {**chat, "messages": [1]}, 400, "invalid_value"), (M, {**chat, "messages": [{"role": "king", "content": "x"}]}, 400, "invalid_value"),
        (M, {**chat, "messages": [{"role": "user"}]}, 400, "invalid_value"), (M, {**chat, "messages": [{"role": "user", "content": 5}]}, 400, "invalid_type"),
        (M, {**chat, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 400, "unsupported_parameter"),
        (M, {**chat, "response_format": {"type": "xml"}}, 400, "unsupported_parameter"), (M, {**chat, "tool_choice": "required"}, 400, "invalid_value"), (M, {**chat, "top_logprobs": 3}, 400, "invalid_value"),
        (M, {**chat, "max_tokens": 0}, 400, "invalid_value"), (M, {**chat, "functions": []}, 400, "unsupported_parameter"), (M, {**chat, "tools": "x"}, 400, "invalid_value"),
        (C, b" " * (10 << 20), 413, "body_too_large"), (C, json.dumps({**good, "prompt": "a " * (5 << 20)}).encode(), 413, "body_too_large"),
    ]
    for path, body, status, code in cases:
        got, answer = server.post(path, body)
        assert got == status and answer["error"]["code"] == code and answer["error"]["message"], f"{str(body)[:120]}: {got} {answer}, expected {status} {code}"
    chunked = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        chunked.request("POST", C, iter([b" " * 65536] * 200), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        assert chunked.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError): pass
    for raw in (b"NONSENSE\r\n\r\n", b"GET /health HTTP/9.9\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 200000 + b"\r\n\r\n", b"\x00\x01\x02\xff" * 50):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            s.sendall(raw)
            try: answer = s.recv(4096)
            except OSError: answer = b""
            assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    assert server.post(C, good)[0] == 200


@check
def hostile_files_are_refused_at_start(_):
    folder = tempfile.mkdtemp()
    data = open(MODEL, "rb").read(4 << 20)
    def u64(n): return struct.pack("<Q", n)
    st = lambda header, body=b"": u64(len(header)) + header + body
    files = {
        "empty.gguf": b"", "magic.gguf": b"GGUF", "version.gguf": b"GGUF" + struct.pack("<I", 9) + u64(0) * 2, "truncated.gguf": data, "short.gguf": data[:5000],
        "counts.gguf": b"GGUF" + struct.pack("<I", 3) + u64(2 ** 63) + u64(2 ** 62), "strings.gguf": b"GGUF" + struct.pack("<I", 3) + u64(0) + u64(1) + u64(2 ** 60),
        "array.gguf": b"GGUF" + struct.pack("<I", 3) + u64(0) + u64(1) + u64(1) + b"a" + struct.pack("<II", 9, 4) + u64(2 ** 61),
    }
    for name, content in files.items():
        path = os.path.join(folder, name); open(path, "wb").write(content)
        r = subprocess.run([MARTLET, "serve", "--model", path, "--port", "0"], capture_output=True, text=True, timeout=60)
        assert r.returncode == 1 and "Error:" in r.stderr, (name, r)
    headers = {
        "overlap": b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}', "beyond": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        "reversed": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}', "huge": b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}', "negative": b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        "hole": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', "notjson": b"\xff\xfe", "list": b"[]", "deep": b"[" * 100000, "type": b'{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}',
    }
    tiny = os.path.join(ROOT, "Tests/ConformanceTests/Goldens/llama/model")
    for name, header in headers.items():
        model = os.path.join(folder, "model-" + name); shutil.copytree(tiny, model)
        open(os.path.join(model, "model.safetensors"), "wb").write(st(header, b"\0" * 12))
        r = subprocess.run([MARTLET, "serve", "--model", model, "--port", "0"], capture_output=True, text=True, timeout=60)
        assert r.returncode == 1 and "Error:" in r.stderr, (name, r)
        adapter = os.path.join(folder, "adapter-" + name); shutil.copytree(os.path.join(ADAPTERS, "pirate"), adapter)
        open(os.path.join(adapter, "adapter_model.safetensors"), "wb").write(st(header, b"\0" * 12))
        r = subprocess.run([MARTLET, "serve", "--model", MODEL, "--adapter", f"x={adapter}", "--port", "0"], capture_output=True, text=True, timeout=60)
        assert r.returncode == 1 and "Error:" in r.stderr, (name, r)
    other = os.path.join(ROOT, "Tests/ConformanceTests/Goldens/llama/all-linear")
    r = subprocess.run([MARTLET, "serve", "--model", MODEL, "--adapter", f"x={other}", "--port", "0"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and "wrong_shape" in r.stderr or "unexpected_tensor" in r.stderr or "missing_tensor" in r.stderr, r
    family = os.path.join(folder, "family"); shutil.copytree(tiny, family)
    config = json.load(open(family + "/config.json")); config["model_type"] = "mamba"; json.dump(config, open(family + "/config.json", "w"))
    r = subprocess.run([MARTLET, "inspect", family], capture_output=True, text=True)
    assert r.returncode == 1 and "mamba" in r.stderr and "qwen3" in r.stderr, r

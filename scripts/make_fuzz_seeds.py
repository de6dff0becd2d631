#!/usr/bin/env python3
"""Writes what the fuzzers begin with, from the repository's goldens: make_fuzz_seeds.py FOLDER."""
import json, re, pathlib, shutil, sys

tests = pathlib.Path(__file__).resolve().parent.parent / "Tests"
target = pathlib.Path(sys.argv[1])
shutil.rmtree(target, ignore_errors=True)
models = tests / "ConformanceTests" / "Goldens"


def seed(parser, name, data):
    folder = target / parser
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


for config in [*models.glob("*/model/config.json"), *(tests / "ModelFilesTests" / "Goldens" / "quantized").glob("*/config.json")]:
    seed("model", config.parent.name if config.parent.name != "model" else config.parts[-3], config.read_bytes())
for family in ["llama", "mistral", "qwen2", "qwen3"]:
    folder = models / family
    for adapter in sorted(folder.iterdir()):
        name = f"{family}-{adapter.name}"
        if adapter.suffix == ".gguf": seed("gguf", name, adapter.read_bytes())
        if (adapter / "adapter_config.json").exists():
            seed("adapter", name, (adapter / "adapter_config.json").read_bytes())
            path = adapter / "adapter_model.safetensors"
            weights = path.read_bytes() if path.exists() else b""
            if 0 < len(weights) < 65536:
                seed("tensors", name, weights)
                if "plain" in name: seed("safetensors", name, weights)
seed("gguf", "types", (tests / "ModelFilesTests" / "Goldens" / "types.gguf").read_bytes())
for number, pattern in enumerate([
    r".*\.(q|v)_proj", r"model\.layers\.[0-3]\..*", r"(?!.*lm_head).*proj$", r"(?:a|b){1,3}?\w+\d*",
    r"^(?=.*mlp)[^.]+(\.[a-z_0-9]+)*+", "q_proj", r"\bx\B\Z",
]):
    seed("pattern", str(number), pattern)
    seed("regex", str(number), pattern)
schemas = (tests / "GrammarTests" / "SchemaTests.swift").read_text()
for number, schema in enumerate(re.findall(r'#"(\{.*?\})"#', schemas)): seed("schema", str(number), schema)

for number, grammar in enumerate([
    'root ::= "a" [b-d]* | x{2,3}\nx ::= "(" root? ")"', "root ::= [^\\x00-\\x1F]+ # text", 'root ::= root "," "1" | <end>',
]):
    seed("notation", str(number), grammar)

goldens = tests / "TokenizationTests" / "Goldens"
for line, text in enumerate(json.loads((goldens / "corpus.json").read_bytes())): seed("prompt", str(line), str(text))
for path in goldens.glob("*.tokenizer.json"):
    tokenizer = json.loads(path.read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    kept = dict(sorted(vocabulary.items(), key=lambda item: item[1])[:300])
    tokenizer["model"]["vocab"] = kept
    merges = [m if isinstance(m, list) else m.split(" ") for m in tokenizer["model"]["merges"]]
    tokenizer["model"]["merges"] = [m for m in merges if all(part in kept for part in [*m, "".join(m)])][:100]
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["id"] < 300]
    seed("tokenizer", path.name, json.dumps(tokenizer, ensure_ascii=False))

for path in (tests / "ModelFilesTests" / "Goldens" / "tools" / "tied").glob("*/tokenizer.json"):
    seed("tokenizer", path.parent.name, path.read_bytes())

templates = tests / "ChatTemplatesTests" / "Goldens"
for path in sorted((templates / "templates").iterdir()): seed("template", path.name, path.read_bytes())
for path in sorted((templates / "language").glob("*.json")):
    for number, case in enumerate(json.loads(path.read_bytes())):
        if isinstance(case, dict) and "template" in case: seed("template", f"{path.stem}-{number}", case["template"])

report = {"boot": "b", "version": 7, "release": "0.1.0", "base": ["base"], "draining": False, "slots": 64, "running": 3, "waiting": 1,
          "waiting_tokens": 9, "kv_use": 0.5, "prefill_rate": 100.0, "decode_rate": 9.5, "finished": 4, "finished_seconds": 2.5,
          "host": {"bytes": 10, "budget": 1000}, "loads": {tier: {"count": 1, "seconds": 0.5, "bytes": 10} for tier in ("disk", "source")},
          "whole": True, "removed": ["gone"], "adapters": [{"digest": "d", "names": ["a", "b"], "tier": "host", "bytes": 10, "rank": 4, "requests": 2,
          "tokens": 30, "hits": {"source": 1, "disk": 0, "host": 1, "device": 0}, "load_seconds": 0.1, "busy_seconds": 12.5}]}
seed("router", "report", json.dumps(report))
seed("router", "request", json.dumps({"prompt": "a\"\\\\{" * 200, "tools": [{"model": "c"}], "model": "a\u00e9", "n": 1}))

requests = {
    "completion": {"model": "m", "prompt": ["a", "b"], "max_tokens": 5, "stop": ["x"], "logit_bias": {"5": -1},
                   "stream": True, "stream_options": {"include_usage": True}, "logprobs": 3, "seed": 1, "n": 2},
    "tokens": {"model": "m", "prompt": [[1, 2], [3]], "echo": True, "min_tokens": 1, "ignore_eos": True},
    "chat": {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "é"}]},
             {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function":
              {"name": "f", "arguments": "{\"a\": [1, 2.5e3, null]}"}}]}, {"role": "tool", "content": "x"}],
             "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
             "top_logprobs": 2, "logprobs": True, "temperature": 0.5, "top_p": 0.9, "presence_penalty": 1},
    "messages": {"model": "m", "max_tokens": 5, "system": "s", "stop_sequences": ["x"], "adapters": [{"name": "a", "scale": 0.5}],
                 "messages": [{"role": "user", "content": [{"type": "text", "text": "é"}]}], "thinking": {"type": "enabled", "budget_tokens": 9}},
    "responses": {"model": "m", "input": [{"role": "user", "content": "x"}], "instructions": "i", "reasoning": {"effort": "low"}, "priority": 3,
                  "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}, "cache_salt": "c"},
    "embeddings": {"model": "m", "input": [[1, 2], [3]], "dimensions": 8, "pooling": "mean", "encoding_format": "base64"},
    "key": {"role": "manager", "namespace": "a/", "models": ["a/*", "b"], "rpm_limit": 5, "tpm_limit": 6, "max_parallel_requests": 7, "token_budget": 8,
            "budget_duration": "30d", "weight": 0.5, "priority": -3, "expires": 9, "blocked": True, "metadata": {"x": [1]}},
}
for name, request in requests.items():
    for parser in ["request", "json"]: seed(parser, name, json.dumps(request))
seed("json", "escapes", r'{"a": "\u00e9\ud83d\ude00\n\"", "b": [1, -0.5e-7, 1e400, 18446744073709551616], "": {}}')
# The fuzzer itself adds a whole pack.
seed("pack", "zeros", (0x314B_4341_504C_544D).to_bytes(8, "little") + bytes(8192))
# Inputs that once ended the process or took too long, by parser.
for path in sorted((tests.parent / "Fuzz" / "corpus").glob("*/*")): seed(path.parent.name, f"found-{path.name}", path.read_bytes())

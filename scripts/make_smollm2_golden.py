#!/usr/bin/env python3
"""Makes Tests/EndToEnd/smollm2.json: log probabilities that transformers + peft give a fixed prompt, in 32-bit
floats, on the base and on every demo adapter.

    scripts/make_smollm2_golden.py MODEL Examples/adapters Tests/EndToEnd/smollm2.json

MODEL is scripts/make_smollm2.py's folder in f32.
"""
import json, os, sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model, adapters, output = sys.argv[1:]
text = "The river was wide, and nobody on the near bank could say who had built the bridge. What is rain? 42 ships; naïve café, 日本!\n\tdef f(x): return x"
tokens = AutoTokenizer.from_pretrained(model)(text)["input_ids"]
result = {"text": text, "tokens": tokens, "logprobs": {}}
for name in ["base"] + sorted(n for n in os.listdir(adapters) if os.path.isdir(f"{adapters}/{n}")):
    m = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if name != "base": m = PeftModel.from_pretrained(m, f"{adapters}/{name}")
    with torch.no_grad(): scores = torch.log_softmax(m.eval()(torch.tensor([tokens])).logits[0].float(), -1)
    chosen = scores[:-1].gather(1, torch.tensor(tokens)[1:, None])[:, 0]
    result["logprobs"][name] = [round(x, 6) for x in chosen.tolist()]
os.makedirs(os.path.dirname(output), exist_ok=True)
json.dump(result, open(output, "w"), indent=None, separators=(",", ":"))
print(len(tokens), "tokens,", len(result["logprobs"]), "models")

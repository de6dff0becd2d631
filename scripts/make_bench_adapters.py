#!/usr/bin/env python3
"""Random PEFT adapters for speed runs: make_bench_adapters.py MODEL OUT COUNT RANK[,RANK…]

a0000, a0001, … take the ranks in turn, on all seven linears, in bf16. Needs torch and safetensors.
"""
import json, os, sys

import torch
from safetensors.torch import save_file

model, out, count, ranks = sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(r) for r in sys.argv[4].split(",")]
config = json.load(open(os.path.join(model, "config.json")))
hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
head = config.get("head_dim") or hidden // heads
queries, keys = heads * head, config["num_key_value_heads"] * head
shapes = {
    "self_attn.q_proj": (hidden, queries), "self_attn.k_proj": (hidden, keys), "self_attn.v_proj": (hidden, keys),
    "self_attn.o_proj": (queries, hidden), "mlp.gate_proj": (hidden, inner), "mlp.up_proj": (hidden, inner),
    "mlp.down_proj": (inner, hidden),
}
for index in range(count):
    rank, random = ranks[index % len(ranks)], torch.Generator().manual_seed(index)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for name, (inputs, outputs) in shapes.items():
            key = f"base_model.model.model.layers.{layer}.{name}."
            tensors[key + "lora_A.weight"] = (torch.randn(rank, inputs, generator=random) / inputs**0.5).bfloat16()
            tensors[key + "lora_B.weight"] = (torch.randn(outputs, rank, generator=random) / 50).bfloat16()
    folder = os.path.join(out, f"a{index:04d}")
    os.makedirs(folder, exist_ok=True)
    save_file(tensors, os.path.join(folder, "adapter_model.safetensors"))
    json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "bias": "none",
               "target_modules": [n.split(".")[1] for n in shapes]}, open(os.path.join(folder, "adapter_config.json"), "w"))

#!/usr/bin/env python3
"""A model in the shape of Llama-3.2-1B with random bf16 weights, for speed runs: make_big_model.py TOKENIZER_MODEL OUT

The tokenizer is that of TOKENIZER_MODEL; the vocabulary is larger, its last tokens have no text. Needs torch and
safetensors, 3 GB of memory and of disk.
"""
import json, os, shutil, sys

import torch
from safetensors.torch import save_file

source, out = sys.argv[1], sys.argv[2]
hidden, inner, layers, heads, keys, head, vocabulary = 2048, 8192, 16, 32, 8, 64, 128256
random = torch.Generator().manual_seed(1)


def weight(rows, columns): return (torch.randn(rows, columns, generator=random) * 0.02).bfloat16()


tensors = {"model.embed_tokens.weight": weight(vocabulary, hidden), "model.norm.weight": torch.ones(hidden).bfloat16()}
for layer in range(layers):
    prefix = f"model.layers.{layer}."
    for name, shape in {
        "self_attn.q_proj": (heads * head, hidden), "self_attn.k_proj": (keys * head, hidden), "self_attn.v_proj": (keys * head, hidden),
        "self_attn.o_proj": (hidden, heads * head), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner),
    }.items(): tensors[f"{prefix}{name}.weight"] = weight(*shape)
    for name in ("input_layernorm", "post_attention_layernorm"): tensors[f"{prefix}{name}.weight"] = torch.ones(hidden).bfloat16()

os.makedirs(out, exist_ok=True)
for name in os.listdir(source):
    if name.startswith(("tokenizer", "special_tokens", "vocab", "merges", "chat_template", "generation")): shutil.copy(os.path.join(source, name), out)
config = json.load(open(os.path.join(source, "config.json")))
json.dump({**{k: v for k, v in config.items() if k.endswith("token_id")}, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
           "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": keys, "head_dim": head,
           "vocab_size": vocabulary, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 500000.0,
           "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
           "tie_word_embeddings": True, "torch_dtype": "bfloat16"}, open(os.path.join(out, "config.json"), "w"), indent=1)
save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})

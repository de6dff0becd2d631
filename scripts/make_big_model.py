#!/usr/bin/env python3
"""A Llama with made-up bf16 weights, for speed runs: make_big_model.py TOKENIZER_MODEL OUT [--shape 1b|8b] [--sparse]

The shape is that of Llama-3.2-1B or of Llama-3.1-8B. The tokenizer is that of TOKENIZER_MODEL; the vocabulary is larger, its
last tokens have no text. Random weights need torch and safetensors, 3 GB of memory and of disk for 1b. With --sparse all
weights but the norms are zeros, holes in the file: it needs nothing but Python and no disk, and suits what times do not
depend on: every product takes as long as with other numbers.
"""
import argparse, json, os, shutil, struct

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("source")
parser.add_argument("out")
parser.add_argument("--shape", choices=["1b", "8b"], default="1b")
parser.add_argument("--sparse", action="store_true")
arguments = parser.parse_args()
source, out = arguments.source, arguments.out
hidden, inner, layers, heads, keys, head, vocabulary, factor = {
    "1b": (2048, 8192, 16, 32, 8, 64, 128256, 32.0), "8b": (4096, 14336, 32, 32, 8, 128, 128256, 8.0)}[arguments.shape]
is_tied = arguments.shape == "1b"

shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
for layer in range(layers):
    prefix = f"model.layers.{layer}."
    for name, shape in {
        "self_attn.q_proj": (heads * head, hidden), "self_attn.k_proj": (keys * head, hidden), "self_attn.v_proj": (keys * head, hidden),
        "self_attn.o_proj": (hidden, heads * head), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner),
    }.items(): shapes[f"{prefix}{name}.weight"] = shape
    for name in ("input_layernorm", "post_attention_layernorm"): shapes[f"{prefix}{name}.weight"] = (hidden,)
if not is_tied: shapes["lm_head.weight"] = (vocabulary, hidden)


def write_random(path):
    import torch
    from safetensors.torch import save_file
    random = torch.Generator().manual_seed(1)
    save_file({name: torch.ones(shape).bfloat16() if len(shape) == 1 else (torch.randn(shape, generator=random) * 0.02).bfloat16() for name, shape in shapes.items()},
              path, metadata={"format": "pt"})


def write_sparse(path):
    header, ones, end = {"__metadata__": {"format": "pt"}}, [], 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        if len(shape) == 1: ones.append((end, b"\x80\x3f" * shape[0]))
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for start, norm in ones:
            file.seek(8 + len(text) + start)
            file.write(norm)
        file.truncate(8 + len(text) + end)


os.makedirs(out, exist_ok=True)
for name in os.listdir(source):
    if name.startswith(("tokenizer", "special_tokens", "vocab", "merges", "chat_template", "generation")): shutil.copy(os.path.join(source, name), out)
config = json.load(open(os.path.join(source, "config.json")))
json.dump({**{k: v for k, v in config.items() if k.endswith("token_id")}, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
           "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": keys, "head_dim": head,
           "vocab_size": vocabulary, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 500000.0,
           "rope_scaling": {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
           "tie_word_embeddings": is_tied, "torch_dtype": "bfloat16"}, open(os.path.join(out, "config.json"), "w"), indent=1)
(write_sparse if arguments.sparse else write_random)(os.path.join(out, "model.safetensors"))

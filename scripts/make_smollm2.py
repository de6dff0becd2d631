#!/usr/bin/env python3
"""SmolLM2-135M-Instruct from its Q4_1 GGUF file as a Hugging Face folder: scripts/make_smollm2.py FILE.gguf OUTPUT [f32|bf16]

The weights are the dequantized ones: right for comparing engines on the same weights, no statement about the
original model's quality. Needs torch, transformers, gguf.
"""
import os, sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

source, output, dtype = sys.argv[1], sys.argv[2], torch.float32 if sys.argv[3:] == ["f32"] else torch.bfloat16
folder, name = os.path.split(os.path.abspath(source))
quantized = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
dropped = ("quantization_config", "_model_name_or_path", "model_type", "transformers_version", "dtype")
model = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in quantized.config.to_dict().items() if k not in dropped}))
model.load_state_dict(quantized.state_dict())
model.to(dtype).save_pretrained(output)
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(output)

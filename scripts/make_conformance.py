#!/usr/bin/env python3
"""Makes the goldens of Tests/ConformanceTests: a tiny random model for each family, one adapter for
each rule of PEFT's format, and what transformers + peft compute with it in 32-bit floats.

    scripts/make_conformance.py Tests/ConformanceTests/Goldens [FAMILY …]

FAMILIES beyond the first four have few cases: what PEFT's rules mean does not depend on the family. Those that are named
are made anew, the others stay as they are.
Needs torch, transformers, peft, gguf (scripts/requirements-reference.txt). The seed is fixed. For a
case that is to be refused `cases.json` has the code instead of logits; those adapters are edits of
the ones that PEFT wrote.

An aLoRA's logits are those of a plain forward, for which PEFT looks for the invocation tokens in the
input as generate() does in its prompt. `<case>.decoded` has those of generate() itself, made to say
TOKENS from PROMPT_LENGTH on: what is found or not in the prompt holds for all that is generated.
"""
import json, os, re, shutil, sys

import numpy as np
import torch
from gguf import GGUFWriter
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, GraniteConfig,
                          GraniteForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM,
                          Olmo2Config, Olmo2ForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM,
                          SeedOssConfig, SeedOssForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)
from transformers.generation import LogitsProcessorList

SEED = 7
TOKENS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 69, 0, 61, 33, 20, 50, 28, 8, 4, 19, 11]
PROMPT_LENGTH = 14
SIZES = dict(vocab_size=70, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=False, rope_parameters=dict(
        rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16))),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=6, tie_word_embeddings=False)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=10, tie_word_embeddings=True)),
    "smollm3": (SmolLM3ForCausalLM, SmolLM3Config(**dict(SIZES, num_hidden_layers=4), pad_token_id=0, rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, rope_theta=100.0))),
    "granite": (GraniteForCausalLM, GraniteConfig(**SIZES, embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.3, logits_scaling=2.5)),
    "olmo2": (Olmo2ForCausalLM, Olmo2Config(**SIZES, pad_token_id=0)),
    # llama.cpp takes one over the root of the head's size for the scale; a model of its own size has that.
    "gemma2": (Gemma2ForCausalLM, Gemma2Config(**SIZES, head_dim=10, query_pre_attn_scalar=10, sliding_window=6, attn_logit_softcapping=2.0, final_logit_softcapping=3.0)),
    "gemma3_text": (Gemma3ForCausalLM, Gemma3TextConfig(**dict(SIZES, num_hidden_layers=6), head_dim=10, query_pre_attn_scalar=10, sliding_window=6, rope_parameters={
        "full_attention": dict(rope_type="linear", factor=2.0, rope_theta=1e5), "sliding_attention": dict(rope_type="default", rope_theta=1e4)})),
    # The suite's sequences are longer than the first's original context, and not than the second's.
    "phi3": (Phi3ForCausalLM, Phi3Config(**SIZES, pad_token_id=0, sliding_window=6, original_max_position_embeddings=16, rope_parameters=dict(
        rope_type="longrope", rope_theta=100.0, short_factor=[1.0, 1.1, 1.3], long_factor=[1.2, 2.0, 5.0]))),
    "phi4": (Phi3ForCausalLM, Phi3Config(**dict(SIZES, max_position_embeddings=256), pad_token_id=0, tie_word_embeddings=True, original_max_position_embeddings=64,
        rope_parameters=dict(rope_type="longrope", rope_theta=100.0, partial_rotary_factor=0.75, short_factor=[1.0, 1.4], long_factor=[9.0, 9.0]))),
    "qwen3_moe": (Qwen3MoeForCausalLM, Qwen3MoeConfig(**dict(SIZES, num_hidden_layers=3), head_dim=10, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=20, norm_topk_prob=False, mlp_only_layers=[1])),
    # As llama.cpp has it: experts in every layer, whose weights come to one.
    "qwen3moe": (Qwen3MoeForCausalLM, Qwen3MoeConfig(**SIZES, head_dim=10, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20, norm_topk_prob=True)),
    "mixtral": (MixtralForCausalLM, MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2)),
    "seed_oss": (SeedOssForCausalLM, SeedOssConfig(**SIZES, head_dim=10, attention_bias=True, attention_out_bias=True, mlp_bias=True)),
}
PHI, MOE = ("phi3", "phi4"), ("qwen3_moe", "qwen3moe", "mixtral")
# llama.cpp has Mistral as Llama, and no dense layers in Qwen 3 MoE.
NO_GGUF = ("mistral", "qwen3_moe")
FIRST = ("llama", "mistral", "qwen2", "qwen3")
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
QV, EMBEDDING, HEAD = ["q_proj", "v_proj"], "base_model.model.model.embed_tokens.", "base_model.model.lm_head."
ENDS = QV + ["embed_tokens", "lm_head"]
TIED, UNTIED, LLAMA, QWEN2, PAIR = ("qwen2", "qwen3"), ("llama", "mistral"), ("llama",), ("qwen2",), ("llama", "qwen2")

ACCEPTED = {  # name: (LoRA settings, changes to the saved adapter, "families" if not all of them)
    "plain": (dict(target_modules=["q_proj", "v_proj"]), {}),
    "all-linear": (dict(target_modules="all-linear"), {}),
    "only-output": (dict(target_modules=["o_proj"]), {}),
    "only-key": (dict(target_modules=["k_proj"]), {}),
    "only-gate": (dict(target_modules=["gate_proj"]), {}),
    "only-down": (dict(target_modules=["down_proj"]), {}),
    "rank-1": (dict(r=1, target_modules=ALL), {}),
    "odd-rank": (dict(r=5, target_modules=ALL), {}),
    "rank-over-lane": (dict(r=19, target_modules=ALL), {}),
    "rslora": (dict(use_rslora=True, target_modules=ALL), {}),
    "float-alpha": (dict(lora_alpha=11.25, target_modules=ALL), {}),
    "rank-pattern": (dict(rank_pattern={"q_proj": 2, "layers.1.mlp.up_proj": 7, "^model.layers.0.self_attn.v_proj": 3}, target_modules=ALL), {}),
    "alpha-pattern": (dict(alpha_pattern={"v_proj": 3, "mlp.*": 32, "up_proj": 1}, target_modules=ALL), {}),
    "both-patterns-rslora": (dict(use_rslora=True, rank_pattern={"k_proj|o_proj": 6}, alpha_pattern={".*o_proj": 20}, target_modules=ALL), {}),
    "pattern-order": (dict(rank_pattern={"layers.0.*": 3, "q_proj": 2}, alpha_pattern={"q_proj": 30, "layers.1.*": 5}, target_modules=ALL), {}),
    "target-regex": (dict(target_modules=r".*\.layers\.[01]\.(self_attn\.(q|k)_proj|mlp\.down_proj)"), {}),
    "target-lookahead": (dict(target_modules=r"(?!.*layers\.0).*_proj"), {}),
    "target-full-names": (dict(target_modules=["model.layers.0.self_attn.q_proj", "layers.1.mlp.up_proj"]), {}),
    "excluded": (dict(target_modules=ALL, exclude_modules=["k_proj", "model.layers.0.mlp.up_proj"]), {}),
    "excluded-regex": (dict(target_modules="all-linear", exclude_modules=r".*mlp\..*"), {}),
    "one-layer": (dict(target_modules=["q_proj", "down_proj"], layers_to_transform=1), {}),
    "layer-list": (dict(target_modules=["q_proj", "down_proj"], layers_to_transform=[0]), {}),
    "layers-pattern": (dict(target_modules=["v_proj"], layers_to_transform=[1], layers_pattern="layers"), {}),
    "lora-bias": (dict(lora_bias=True, target_modules=ALL), {}),
    "dora": (dict(use_dora=True, target_modules=ALL), {}),
    "dora-rslora-pattern": (dict(use_dora=True, use_rslora=True, rank_pattern={"q_proj": 3}, target_modules=["q_proj", "v_proj", "up_proj"]), {}),
    "mixed-dtypes": (dict(target_modules=ALL), {"dtypes": (torch.float16, torch.bfloat16)}),
    "bfloat16": (dict(target_modules=ALL), {"dtypes": (torch.bfloat16, torch.bfloat16)}),
    "fan-in-fan-out": (dict(fan_in_fan_out=True, target_modules=["q_proj"]), {"config": {"fan_in_fan_out": True}}),
    "gaussian": (dict(init_lora_weights="gaussian", target_modules=["q_proj"]), {}),
    "orthogonal": (dict(init_lora_weights="orthogonal", target_modules=["q_proj"]), {}),
    "eva-named": (dict(target_modules=["q_proj"]), {"config": {"init_lora_weights": "eva"}}),
    "harmless-fields": (dict(target_modules=["q_proj"], lora_dropout=0.3), {"config": {"revision": "main", "inference_mode": False, "megatron_core": "x", "loftq_config": {"loftq_bits": 4}, "task_type": None}}),
    "default-targets": (dict(target_modules=["q_proj", "v_proj"]), {"config": {"target_modules": None}}),
    "unknown-but-default": (dict(target_modules=["q_proj"]), {"config": {"some_future_field": None, "another": False}}),
    # New cases go after the others: their random numbers are one sequence.
    "empty-lists": (dict(target_modules=QV), {"config": {"modules_to_save": [], "trainable_token_indices": {}, "alora_invocation_tokens": []}, "families": LLAMA}),

    "bias-all": (dict(bias="all", target_modules=ALL), {"families": PAIR}),
    "bias-all-only-query": (dict(bias="all", target_modules=["q_proj"]), {"families": QWEN2}),
    "bias-all-no-attention": (dict(bias="all", target_modules=["down_proj"]), {"families": QWEN2}),
    "bias-all-one-layer": (dict(bias="all", target_modules=["q_proj"], layers_to_transform=[0]), {"families": QWEN2}),
    "bias-lora-only": (dict(bias="lora_only", target_modules=["q_proj", "o_proj"]), {"families": PAIR}),
    "bias-lora-only-one-layer": (dict(bias="lora_only", target_modules=["k_proj", "v_proj"], layers_to_transform=1), {"families": QWEN2}),
    "bias-dora": (dict(bias="all", use_dora=True, target_modules=ALL), {"families": QWEN2}),
    "bias-lora-bias": (dict(bias="lora_only", lora_bias=True, target_modules=["q_proj", "up_proj"]), {"families": QWEN2}),
    "bias-mixed-dtypes": (dict(bias="all", target_modules=QV), {"dtypes": (torch.bfloat16, torch.float16), "families": QWEN2}),

    "saved-head": (dict(target_modules=QV, modules_to_save=["lm_head"]), {}),
    "saved-embedding": (dict(target_modules=QV, modules_to_save=["embed_tokens"]), {}),
    "saved-both": (dict(target_modules=QV, modules_to_save=["embed_tokens", "lm_head"]), {}),
    "saved-both-bfloat16": (dict(target_modules=QV, modules_to_save=["embed_tokens", "lm_head"]), {"dtypes": (torch.bfloat16, torch.float16), "families": PAIR}),
    "saved-embedding-tied": (dict(target_modules=QV, modules_to_save=["embed_tokens"], ensure_weight_tying=True), {"families": LLAMA + TIED}),
    "saved-head-tied": (dict(target_modules=QV, modules_to_save=["lm_head"], ensure_weight_tying=True), {"families": LLAMA + TIED}),
    "saved-both-tied": (dict(target_modules=QV, modules_to_save=["lm_head", "model.embed_tokens"], ensure_weight_tying=True), {"families": PAIR}),
    "saved-norm": (dict(target_modules=QV, modules_to_save=["norm"]), {"families": ("llama", "qwen3")}),
    "saved-norm-tied": (dict(target_modules=QV, modules_to_save=["norm"], ensure_weight_tying=True), {"families": QWEN2}),
    "saved-final-norm": (dict(target_modules=QV, modules_to_save=["model.norm"]), {"families": LLAMA}),
    "saved-input-norm": (dict(use_dora=True, target_modules=QV, modules_to_save=["input_layernorm"]), {"families": UNTIED}),
    "saved-one-norm": (dict(target_modules=QV, modules_to_save=["1.post_attention_layernorm"]), {"families": LLAMA}),
    "saved-query-norm": (dict(target_modules=QV, modules_to_save=["q_norm"]), {"families": ("qwen3",)}),
    "saved-projection": (dict(target_modules=QV, modules_to_save=["k_proj"]), {"families": PAIR}),
    "saved-projection-and-bias": (dict(bias="lora_only", target_modules=QV, modules_to_save=["k_proj"]), {"families": QWEN2}),
    "saved-over-target": (dict(target_modules=QV, modules_to_save=["q_proj"]), {"families": PAIR}),
    "saved-head-over-target": (dict(target_modules=QV + ["lm_head"], modules_to_save=["lm_head"]), {"families": PAIR}),
    "saved-mlp": (dict(target_modules=QV + ["up_proj"], modules_to_save=["mlp"]), {"families": ("llama", "qwen3")}),
    "saved-one-mlp": (dict(target_modules=ALL, modules_to_save=["layers.0.mlp"]), {"families": LLAMA}),
    "saved-attention": (dict(target_modules=["up_proj"], modules_to_save=["self_attn"]), {"families": LLAMA + TIED}),
    "saved-layer": (dict(target_modules=ALL, modules_to_save=["layers.1"]), {"families": LLAMA + TIED}),
    "saved-suffix": (dict(target_modules=QV, modules_to_save=["head", "0.mlp.up_proj"]), {"families": LLAMA}),
    "saved-twice": (dict(target_modules=QV, modules_to_save=["norm", "input_layernorm", "norm"]), {"families": LLAMA}),

    "tokens-list": (dict(target_modules=QV, trainable_token_indices=[61, 3, 14]), {}),
    "tokens-list-tied": (dict(target_modules=QV, trainable_token_indices=[61, 3, 14], ensure_weight_tying=True), {"families": PAIR}),
    "tokens-embedding": (dict(target_modules=QV, trainable_token_indices={"embed_tokens": [69, 0]}), {"families": PAIR}),
    "tokens-full-name": (dict(target_modules=QV, trainable_token_indices={"model.embed_tokens": [3, 14]}), {"families": PAIR}),
    "tokens-suffix": (dict(target_modules=QV, trainable_token_indices={"tokens": [3, 14], "head": [5]}), {"families": LLAMA}),
    "tokens-head": (dict(target_modules=QV, trainable_token_indices={"lm_head": [5, 50]}), {}),
    "tokens-both": (dict(target_modules=QV, trainable_token_indices={"embed_tokens": [3, 14], "lm_head": [3, 14]}), {"families": LLAMA + TIED}),
    "tokens-both-tied": (dict(target_modules=QV, trainable_token_indices={"lm_head": [3, 14], "embed_tokens": [3, 14]}, ensure_weight_tying=True), {"families": QWEN2}),
    "tokens-both-order": (dict(target_modules=QV, trainable_token_indices={"embed_tokens": [3, 14], "lm_head": [14, 3]}), {"families": PAIR}),
    "tokens-both-different": (dict(target_modules=QV, trainable_token_indices={"embed_tokens": [3, 14, 61], "lm_head": [14, 2]}), {"families": LLAMA + TIED}),
    "tokens-bfloat16": (dict(target_modules=QV, trainable_token_indices=[9, 8]), {"dtypes": (torch.bfloat16, torch.bfloat16), "families": PAIR}),
    "tokens-dora-bias": (dict(bias="all", use_dora=True, target_modules=ALL, trainable_token_indices=[9]), {"families": QWEN2}),
    "tokens-and-head": (dict(target_modules=QV + ["lm_head"], trainable_token_indices=[3, 14]), {"families": LLAMA + TIED}),
    "tokens-and-head-dora": (dict(use_dora=True, target_modules=QV + ["lm_head"], trainable_token_indices=[3, 14]), {"families": LLAMA}),
    "tokens-head-and-embedding": (dict(target_modules=QV + ["embed_tokens"], trainable_token_indices={"lm_head": [3, 14]}), {"families": PAIR}),
    "tokens-saved-norm": (dict(target_modules=QV, modules_to_save=["model.norm"], trainable_token_indices=[3, 14]), {"families": PAIR}),
    "tokens-saved-head": (dict(target_modules=QV, modules_to_save=["lm_head"], trainable_token_indices=[3, 14]), {"families": LLAMA}),
    "tokens-head-saved-embedding": (dict(target_modules=QV, modules_to_save=["embed_tokens"], trainable_token_indices={"lm_head": [3, 14]}), {"families": PAIR}),

    "embedding": (dict(target_modules=QV + ["embed_tokens"]), {}),
    "embedding-only": (dict(target_modules=["embed_tokens"]), {"families": LLAMA}),
    "embedding-no-base": (dict(target_modules=QV + ["embed_tokens"]), {"tensors": {EMBEDDING + "base_layer.weight": None}, "families": PAIR}),
    "embedding-base-changed": (dict(target_modules=QV + ["embed_tokens"]), {"shift": [EMBEDDING + "base_layer.weight"], "families": PAIR}),
    "embedding-mixed-dtypes": (dict(target_modules=QV + ["embed_tokens"]), {"dtypes": (torch.bfloat16, torch.float16), "families": LLAMA}),
    "embedding-full-name": (dict(target_modules=["q_proj", "model.embed_tokens"]), {"families": PAIR}),
    "embedding-regex": (dict(target_modules=r".*\.(q_proj|embed_tokens)"), {"families": LLAMA}),
    "embedding-not-in-layers": (dict(target_modules=["q_proj", "embed_tokens"], layers_to_transform=[0]), {"families": LLAMA}),
    "embedding-rslora": (dict(use_rslora=True, target_modules=QV + ["embed_tokens"]), {"families": LLAMA}),
    "embedding-patterns": (dict(rank_pattern={"embed_tokens": 19}, alpha_pattern={"model.embed_tokens": 3}, target_modules=QV + ["embed_tokens"]), {"families": LLAMA}),
    "embedding-dora": (dict(use_dora=True, target_modules=QV + ["embed_tokens"]), {"families": LLAMA + TIED}),
    "embedding-dora-base-changed": (dict(use_dora=True, use_rslora=True, rank_pattern={"embed_tokens": 2}, target_modules=QV + ["embed_tokens"]), {"shift": [EMBEDDING + "base_layer.weight"], "families": PAIR}),
    "embedding-tied": (dict(target_modules=QV + ["embed_tokens"], ensure_weight_tying=True), {"families": LLAMA + TIED}),
    "embedding-tied-patterns": (dict(use_rslora=True, rank_pattern={"embed_tokens|lm_head": 2}, alpha_pattern={"lm_head": 20}, target_modules=ENDS, ensure_weight_tying=True), {"families": PAIR}),
    "embedding-tied-dora": (dict(use_dora=True, target_modules=QV + ["embed_tokens"], ensure_weight_tying=True), {"families": PAIR}),

    "head": (dict(target_modules=QV + ["lm_head"]), {}),
    "head-only": (dict(target_modules=["lm_head"]), {"families": LLAMA}),
    "head-no-base": (dict(target_modules=QV + ["lm_head"]), {"tensors": {HEAD + "base_layer.weight": None}, "families": PAIR}),
    "head-base-changed": (dict(target_modules=QV + ["lm_head"]), {"shift": [HEAD + "base_layer.weight"], "families": PAIR}),
    "head-patterns": (dict(use_rslora=True, rank_pattern={"lm_head": 9}, alpha_pattern={".*head": 3}, target_modules=QV + ["lm_head"]), {"families": LLAMA}),
    "head-lora-bias": (dict(lora_bias=True, target_modules=QV + ["lm_head"]), {"families": PAIR}),
    "head-dora": (dict(use_dora=True, target_modules=QV + ["lm_head"]), {"families": LLAMA + TIED}),
    "head-dora-base-changed": (dict(use_dora=True, target_modules=QV + ["lm_head"]), {"shift": [HEAD + "base_layer.weight"], "families": PAIR}),
    "head-named-in-layers": (dict(target_modules=["q_proj", "lm_head"], layers_to_transform=[0]), {"families": LLAMA}),
    "head-excluded": (dict(target_modules=ENDS, exclude_modules=["lm_head"]), {"families": LLAMA}),
    "head-tied": (dict(target_modules=QV + ["lm_head"], ensure_weight_tying=True), {"families": LLAMA + TIED}),
    "head-tied-regex": (dict(target_modules=r".*q_proj|lm_head", ensure_weight_tying=True), {"families": QWEN2}),
    "embedding-and-head": (dict(target_modules=ENDS), {}),
    "embedding-and-head-base-changed": (dict(target_modules=ENDS), {"shift": [EMBEDDING + "base_layer.weight", HEAD + "base_layer.weight"], "families": PAIR}),
    "embedding-and-head-dora": (dict(use_dora=True, target_modules=ENDS), {"families": PAIR}),
    "embedding-saved-head": (dict(target_modules=QV + ["embed_tokens"], modules_to_save=["lm_head"]), {"families": PAIR}),
    "head-saved-embedding": (dict(target_modules=QV + ["lm_head"], modules_to_save=["embed_tokens"]), {"families": PAIR}),
    "everything": (dict(bias="all", use_dora=True, use_rslora=True, target_modules=ALL + ["embed_tokens", "lm_head"], modules_to_save=["norm"]), {"families": LLAMA + TIED}),

    "alora-once": (dict(target_modules=ALL, alora_invocation_tokens=[61, 33]), {"families": LLAMA + TIED}),
    "alora-twice": (dict(target_modules=ALL, alora_invocation_tokens=[8]), {"families": PAIR}),
    "alora-prefix-later": (dict(target_modules=ALL, alora_invocation_tokens=[9, 26]), {"families": LLAMA}),
    "alora-absent": (dict(target_modules=ALL, alora_invocation_tokens=[9, 8]), {"inert": True, "families": PAIR}),
    "alora-cut-off": (dict(target_modules=ALL, alora_invocation_tokens=[11, 3]), {"inert": True, "families": LLAMA}),
    "alora-start": (dict(target_modules=ALL, alora_invocation_tokens=[3, 14]), {"families": LLAMA}),
    "alora-end": (dict(target_modules=ALL, alora_invocation_tokens=[19, 11]), {"families": LLAMA}),
    "alora-last-token": (dict(target_modules=ALL, alora_invocation_tokens=[11]), {"families": LLAMA}),
    "alora-whole-prompt": (dict(target_modules=QV, alora_invocation_tokens=TOKENS[:PROMPT_LENGTH]), {"families": LLAMA}),
    "alora-rslora-patterns": (dict(use_rslora=True, rank_pattern={"q_proj": 7}, alpha_pattern={"mlp.*": 20}, target_modules=ALL, alora_invocation_tokens=[69, 0, 61]), {"families": LLAMA}),
    "alora-lora-bias": (dict(lora_bias=True, target_modules=ALL, alora_invocation_tokens=[8, 9, 7]), {"families": PAIR}),
    "alora-head": (dict(target_modules=QV + ["lm_head"], alora_invocation_tokens=[61, 33]), {"families": PAIR}),
}
# What the others have of these, and of their own.
FEW = ["plain", "all-linear", "only-output", "odd-rank", "rslora", "rank-pattern", "lora-bias", "dora", "bfloat16", "saved-both", "saved-norm", "saved-input-norm", "tokens-list", "embedding", "head"]
OWN = {
    "saved-all-norms": (dict(target_modules=QV, modules_to_save=["post_attention_layernorm"]), {"families": ("smollm3", "granite", "olmo2", "gemma2", "gemma3_text")}),
    "saved-output-norm": (dict(target_modules=QV, modules_to_save=["post_feedforward_layernorm"]), {"families": ("olmo2", "gemma2", "gemma3_text")}),
    "saved-query-norm": (dict(target_modules=QV, modules_to_save=["q_norm"]), {"families": ("olmo2", "gemma3_text")}),
    "embedding-dora": (dict(use_dora=True, target_modules=QV + ["embed_tokens"]), {"families": ("granite", "gemma2", "gemma3_text")}),
    "experts": (dict(target_modules=QV + ALL[4:]), {"families": ("qwen3_moe", "qwen3moe")}),
    "experts-by-number": (dict(target_modules=QV + ["w1", "w2", "w3"]), {"families": ("mixtral",)}),
    "experts-and-router": (dict(target_modules="all-linear"), {"families": MOE}),
    "expert-down": (dict(target_modules=QV, target_parameters=["mlp.experts.down_proj"]), {"families": MOE}),
    "expert-gate-up": (dict(r=3, use_rslora=True, target_modules=QV, target_parameters=["mlp.experts.gate_up_proj"]), {"families": MOE}),
    "only-router": (dict(target_modules=[], target_parameters=["mlp.gate.weight"]), {"families": ("qwen3moe", "mixtral")}),
    "unstacked-down": (dict(target_modules=QV, target_parameters=["mlp.experts.down_proj"]), {"unstack": True, "families": ("qwen3moe", "mixtral")}),
    # PEFT does not find gates and ups of such a file where downs are not changed.
    "unstacked": (dict(target_modules=QV, target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]), {"unstack": True, "families": ("qwen3moe", "mixtral")}),
    "only-fused-gate": (dict(target_modules=["gate_up_proj"]), {"families": PHI}),
    "fused-dora-bias": (dict(lora_bias=True, use_rslora=True, r=3, target_modules=["qkv_proj", "gate_up_proj"]), {"families": PHI}),
    "saved-fused": (dict(target_modules=["o_proj", "gate_up_proj"], modules_to_save=["qkv_proj"]), {"families": PHI}),
    "saved-fused-mlp": (dict(target_modules=["o_proj"], modules_to_save=["mlp"]), {"families": PHI}),
}
NAN, INF = float("nan"), float("inf")
KEY, DELTA = "base_model.model.model.layers.0.self_attn.q_proj.", "token_adapter.trainable_tokens_delta"
REFUSED = {  # name: (base case or settings, code, changes, "families" if not llama); a change to a tensor is None to drop it
    "peft-type": ("plain", "unsupported_peft_type", {"config": {"peft_type": "LOHA"}}),
    "task-type": ("plain", "unsupported_task", {"config": {"task_type": "TOKEN_CLS"}}),
    "other-parameters": ("expert-down", "unsupported_field", {"config": {"target_parameters": ["input_layernorm.weight"]}, "families": MOE}),
    "expert-dora": ("expert-down", "invalid_field", {"config": {"use_dora": True}, "families": MOE}),
    "expert-missing": ("expert-down", "missing_tensor", {"tensors": {"base_model.model.model.layers.0.mlp.experts.lora_B.weight": None}, "families": MOE}),
    "expert-count": ("expert-down", "wrong_shape", {"tensors": {"base_model.model.model.layers.0.mlp.experts.lora_A.weight": torch.ones(7, 20)}, "families": MOE}),
    "expert-not-asked": ("expert-down", "unexpected_tensor", {"config": {"target_parameters": None}, "families": MOE}),
    "expert-untargeted": ("unstacked-down", "unexpected_tensor", {"config": {"target_modules": QV}, "families": ("qwen3moe",)}),
    "saved-router": (dict(target_modules=QV, modules_to_save=["mlp"]), "invalid_field", {"families": MOE}),
    "target-parameters": ("plain", "unsupported_field", {"config": {"target_parameters": ["mlp.experts"]}}),
    "layer-replication": ("plain", "unsupported_field", {"config": {"layer_replication": [[0, 2], [1, 2]]}}),
    "qalora": ("plain", "unsupported_field", {"config": {"use_qalora": True}}),
    "bdlora": ("plain", "unsupported_field", {"config": {"use_bdlora": {"nblocks": 2}}}),
    "arrow": ("plain", "unsupported_field", {"config": {"arrow_config": {"top_k": 3}}}),
    "kasa": ("plain", "unsupported_field", {"config": {"kasa_config": {"beta": 1}}}),
    "monteclora": ("plain", "unsupported_field", {"config": {"monteclora_config": {"num_samples": 8}}}),
    "velora": ("plain", "unsupported_field", {"config": {"velora_config": {"num_groups": 64}}}),
    "init-pissa": ("plain", "unsupported_field", {"config": {"init_lora_weights": "pissa"}}),
    "init-pissa-niter": ("plain", "unsupported_field", {"config": {"init_lora_weights": "pissa_niter_4"}}),
    "init-olora": ("plain", "unsupported_field", {"config": {"init_lora_weights": "olora"}}),
    "init-corda": ("plain", "unsupported_field", {"config": {"init_lora_weights": "corda"}}),
    "init-loftq": ("plain", "unsupported_field", {"config": {"init_lora_weights": "loftq"}}),
    "init-lora-ga": ("plain", "unsupported_field", {"config": {"init_lora_weights": "lora_ga"}}),
    "target-lookbehind": ("plain", "unsupported_field", {"config": {"target_modules": r".*(?<=q)_proj"}}),
    "unknown-field": ("plain", "unknown_field", {"config": {"use_magic": True}}),
    "empty-targets": ("plain", "invalid_field", {"config": {"target_modules": []}}),
    "rank-zero": ("plain", "invalid_field", {"config": {"r": 0}}),
    "rank-text": ("plain", "invalid_field", {"config": {"r": "8"}}),
    "bias-and-dora": ("dora", "invalid_field", {"config": {"lora_bias": True}}),
    "layers-without-list": ("target-regex", "invalid_field", {"config": {"layers_to_transform": [0]}}),
    "missing-a": ("plain", "missing_tensor", {"tensors": {KEY + "lora_A.weight": None}}),
    "missing-b": ("plain", "missing_tensor", {"tensors": {KEY + "lora_B.weight": None}}),
    "missing-module": ("plain", "missing_tensor", {"tensors": {KEY + "lora_A.weight": None, KEY + "lora_B.weight": None}}),
    "missing-magnitude": ("dora", "missing_tensor", {"tensors": {KEY + "lora_magnitude_vector": None}}),
    "missing-bias": ("lora-bias", "missing_tensor", {"tensors": {KEY + "lora_B.bias": None}}),
    "untargeted-tensors": ("plain", "unexpected_tensor", {"config": {"target_modules": ["q_proj"]}}),
    "unexpected-magnitude": ("dora", "unexpected_tensor", {"config": {"use_dora": False}}),
    "replaced-norm": ("plain", "unexpected_tensor", {"tensors": {"base_model.model.model.norm.weight": torch.ones(24)}}),
    "base-layer-weight": ("plain", "unexpected_tensor", {"tensors": {KEY + "base_layer.weight": torch.ones(24, 24)}}),
    "other-layer": ("plain", "unexpected_tensor", {"tensors": {KEY.replace("0", "2") + "lora_A.weight": torch.ones(4, 24)}}),
    "no-prefix": ("plain", "unexpected_tensor", {"rename": ("base_model.model.", "")}),
    "wrong-input": ("plain", "wrong_shape", {"tensors": {KEY + "lora_A.weight": torch.ones(4, 25)}}),
    "wrong-output": ("plain", "wrong_shape", {"tensors": {KEY + "lora_B.weight": torch.ones(23, 4)}}),
    "wrong-inner": ("plain", "wrong_shape", {"tensors": {KEY + "lora_B.weight": torch.ones(24, 3)}}),
    "rank-mismatch": ("plain", "rank_mismatch", {"config": {"r": 8}}),
    "nan": ("plain", "non_finite_value", {"poke": (KEY + "lora_A.weight", NAN)}),
    "infinity": ("plain", "non_finite_value", {"poke": (KEY + "lora_B.weight", INF)}),
    "integer-tensor": ("plain", "unsupported_tensor_type", {"tensors": {KEY + "lora_A.weight": torch.ones(4, 24, dtype=torch.int8)}}),
    "pickle": ("plain", "pickle_refused", {"pickle": True}),
    "truncated": ("plain", "malformed_file", {"truncate": 100}),
    "truncated-header": ("plain", "malformed_file", {"cut_to": 40}),
    "config-not-json": ("plain", "malformed_file", {"config_text": "{\"peft_type\": "}),
    "no-config": ("plain", "missing_file", {"config_text": None}),

    "bias-unknown": ("plain", "invalid_field", {"config": {"bias": "some"}}),
    "bias-of-other-method": ("plain", "invalid_field", {"config": {"bias": "boft_only"}}),
    "bias-missing": ("bias-all-only-query", "missing_tensor", {"tensors": {KEY.replace("q", "k") + "bias": None}, "families": QWEN2}),
    "bias-missing-targeted": ("bias-lora-only", "missing_tensor", {"tensors": {KEY + "base_layer.bias": None}, "families": QWEN2}),
    "bias-untargeted": ("bias-all-only-query", "unexpected_tensor", {"config": {"bias": "lora_only"}, "families": QWEN2}),
    "bias-not-asked": ("bias-lora-only", "unexpected_tensor", {"config": {"bias": "none"}, "families": QWEN2}),
    "bias-without-infix": ("bias-lora-only", "unexpected_tensor", {"tensors": {KEY + "bias": torch.ones(24)}, "families": QWEN2}),
    "bias-of-output": ("bias-lora-only", "unexpected_tensor", {"tensors": {KEY.replace("q", "o") + "base_layer.bias": torch.ones(24)}, "families": QWEN2}),
    "bias-of-unbiased": ("bias-all", "unexpected_tensor", {"tensors": {KEY + "base_layer.bias": torch.ones(24)}}),
    "bias-shape": ("bias-all-only-query", "wrong_shape", {"tensors": {KEY.replace("q", "k") + "bias": torch.ones(11)}, "families": QWEN2}),
    "bias-nan": ("bias-lora-only", "non_finite_value", {"poke": (KEY + "base_layer.bias", NAN), "families": QWEN2}),
    "bias-integers": ("bias-lora-only", "unsupported_tensor_type", {"tensors": {KEY + "base_layer.bias": torch.ones(24, dtype=torch.int8)}, "families": QWEN2}),

    "saved-missing": ("saved-head", "missing_tensor", {"tensors": {HEAD + "weight": None}}),
    "saved-missing-all": ("plain", "missing_tensor", {"config": {"modules_to_save": ["lm_head"]}}),
    "saved-missing-part": ("saved-mlp", "missing_tensor", {"tensors": {"base_model.model.model.layers.0.mlp.up_proj.weight": None}}),
    "saved-missing-bias": ("saved-projection", "missing_tensor", {"tensors": {KEY.replace("q", "k") + "bias": None}, "families": QWEN2}),
    "saved-shape": ("saved-head", "wrong_shape", {"tensors": {HEAD + "weight": torch.ones(70, 25)}}),
    "saved-resized": ("saved-embedding", "wrong_shape", {"tensors": {EMBEDDING + "weight": torch.ones(72, 24)}}),
    "saved-norm-shape": ("saved-norm", "wrong_shape", {"tensors": {"base_model.model.model.norm.weight": torch.ones(23)}}),
    "saved-nan": ("saved-head", "non_finite_value", {"poke": (HEAD + "weight", NAN)}),
    "saved-infinity": ("saved-norm", "non_finite_value", {"poke": ("base_model.model.model.norm.weight", INF)}),
    "saved-integers": ("saved-embedding", "unsupported_tensor_type", {"tensors": {EMBEDDING + "weight": torch.ones(70, 24, dtype=torch.int8)}}),
    "saved-head-bias": ("saved-head", "unexpected_tensor", {"tensors": {HEAD + "bias": torch.ones(70)}}),
    "saved-not-asked": ("saved-head", "unexpected_tensor", {"config": {"modules_to_save": None}}),
    "saved-original": (dict(bias="all", target_modules=["q_proj"], modules_to_save=["k_proj"]), "unexpected_tensor", {"families": QWEN2}),
    "saved-unknown": ("plain", "invalid_field", {"config": {"modules_to_save": ["classifier"]}}),
    "saved-unknown-too": ("saved-head", "invalid_field", {"config": {"modules_to_save": ["lm_head", "classifier"]}}),
    "saved-regex": ("plain", "invalid_field", {"config": {"modules_to_save": [r"layers.\d.mlp"]}}),
    "saved-text": ("saved-head", "invalid_field", {"config": {"modules_to_save": "lm_head"}}),
    "saved-number": ("saved-head", "invalid_field", {"config": {"modules_to_save": ["lm_head", 1]}}),
    "saved-empty-name": ("plain", "invalid_field", {"config": {"modules_to_save": [""]}}),
    "saved-layer-list": ("plain", "invalid_field", {"config": {"modules_to_save": ["layers"]}}),
    "saved-nested": (dict(target_modules=QV, modules_to_save=["mlp", "up_proj"]), "invalid_field", {}),
    "saved-all-targets": ("plain", "invalid_field", {"config": {"modules_to_save": QV}}),
    "saved-adapted": ("plain", "invalid_field", {"config": {"modules_to_save": ["_proj"]}}),
    "saved-inside-adapter": ("plain", "invalid_field", {"config": {"modules_to_save": ["base_layer"]}}),
    "saved-tied-differ": ("saved-embedding-tied", "malformed_file", {"shift": [HEAD + "weight"], "families": QWEN2}),
    "saved-tied-missing": ("saved-embedding-tied", "missing_tensor", {"tensors": {HEAD + "weight": None}, "families": QWEN2}),
    "saved-tied-and-head": ("head-saved-embedding", "invalid_field", {"config": {"ensure_weight_tying": True}, "families": QWEN2}),

    "tokens-missing": ("tokens-list", "missing_tensor", {"tensors": {EMBEDDING + DELTA: None}}),
    "tokens-missing-all": ("plain", "missing_tensor", {"config": {"trainable_token_indices": [1, 2]}}),
    "tokens-missing-head": ("tokens-both-different", "missing_tensor", {"tensors": {HEAD + DELTA: None}, "families": QWEN2}),
    "tokens-more-rows": ("tokens-list", "wrong_shape", {"tensors": {EMBEDDING + DELTA: torch.ones(4, 24)}}),
    "tokens-wrong-width": ("tokens-list", "wrong_shape", {"tensors": {EMBEDDING + DELTA: torch.ones(3, 25)}}),
    "tokens-nan": ("tokens-list", "non_finite_value", {"poke": (EMBEDDING + DELTA, NAN)}),
    "tokens-integer-tensor": ("tokens-list", "unsupported_tensor_type", {"tensors": {EMBEDDING + DELTA: torch.ones(3, 24, dtype=torch.int8)}}),
    "tokens-not-asked": ("tokens-list", "unexpected_tensor", {"config": {"trainable_token_indices": None}}),
    "tokens-tied-head-tensor": ("tokens-list", "unexpected_tensor", {"tensors": {HEAD + DELTA: torch.ones(3, 24)}, "families": QWEN2}),
    "tokens-base-weight": ("tokens-list", "unexpected_tensor", {"tensors": {EMBEDDING + "token_adapter.base_layer.weight": torch.ones(70, 24)}}),
    "tokens-out-of-range": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": [61, 3, 70]}}),
    "tokens-negative": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": [61, 3, -1]}}),
    "tokens-duplicate": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": [61, 3, 61]}}),
    "tokens-float": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": [61.5, 3, 14]}}),
    "tokens-text": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": ["61", "3", "14"]}}),
    "tokens-boolean": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": [True, 3, 14]}}),
    "tokens-number": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": 3}}),
    "tokens-empty": ("plain", "invalid_field", {"config": {"trainable_token_indices": []}}),
    "tokens-empty-list": ("plain", "invalid_field", {"config": {"trainable_token_indices": {"embed_tokens": []}}}),
    "tokens-unknown-module": ("plain", "invalid_field", {"config": {"trainable_token_indices": {"wte": [1, 2]}}}),
    "tokens-module-twice": ("tokens-list", "invalid_field", {"config": {"trainable_token_indices": {"embed_tokens": [61, 3, 14], "tokens": [5]}}}),
    "tokens-of-projection": ("plain", "unsupported_field", {"config": {"trainable_token_indices": {"k_proj": [1, 2]}}}),
    "tokens-of-norm": ("plain", "invalid_field", {"config": {"trainable_token_indices": {"model.norm": [1]}}}),
    "tokens-of-target": ("embedding", "invalid_field", {"config": {"trainable_token_indices": [3, 14]}}),
    "tokens-of-targeted-head": ("head", "invalid_field", {"config": {"trainable_token_indices": {"lm_head": [3, 14]}}}),
    "tokens-of-saved": ("saved-embedding", "invalid_field", {"config": {"trainable_token_indices": [3, 14]}}),
    "tokens-of-saved-by-name": ("saved-embedding", "invalid_field", {"config": {"trainable_token_indices": {"embed_tokens": [3, 14]}}}),
    "tokens-of-saved-tied": ("saved-head", "invalid_field", {"config": {"trainable_token_indices": [3, 14]}, "families": QWEN2}),
    "tokens-tied-different": ("tokens-both-different", "invalid_field", {"config": {"ensure_weight_tying": True}, "families": QWEN2}),
    "tokens-tied-and-head": ("tokens-and-head", "invalid_field", {"config": {"ensure_weight_tying": True}, "families": QWEN2}),
    "tokens-tied-and-head-dora": (dict(use_dora=True, target_modules=QV + ["lm_head"], trainable_token_indices=[3, 14]), "invalid_field", {"families": QWEN2}),
    "tokens-without-targets": ("tokens-list", "invalid_field", {"config": {"target_modules": []}}),

    "target-norm": ("plain", "unsupported_field", {"config": {"target_modules": QV + ["norm"]}}),
    "embedding-missing-all": ("plain", "missing_tensor", {"config": {"target_modules": QV + ["embed_tokens"]}}),
    "embedding-missing-a": ("embedding", "missing_tensor", {"tensors": {EMBEDDING + "lora_embedding_A": None}}),
    "embedding-missing-b": ("embedding", "missing_tensor", {"tensors": {EMBEDDING + "lora_embedding_B": None}}),
    "embedding-missing-magnitude": ("embedding-dora", "missing_tensor", {"tensors": {EMBEDDING + "lora_magnitude_vector": None}}),
    "embedding-untargeted": ("embedding-no-base", "unexpected_tensor", {"config": {"target_modules": QV}}),
    "embedding-weight-suffix": ("embedding", "unexpected_tensor", {"tensors": {EMBEDDING + "lora_embedding_A.weight": torch.ones(4, 70)}}),
    "embedding-linear-names": ("embedding", "unexpected_tensor", {"tensors": {EMBEDDING + "lora_A.weight": torch.ones(4, 70)}}),
    "embedding-plain-weight": ("plain", "unexpected_tensor", {"tensors": {EMBEDDING + "weight": torch.ones(70, 24)}}),
    "embedding-plain-weight-too": ("embedding", "unexpected_tensor", {"tensors": {EMBEDDING + "weight": torch.ones(70, 24)}}),
    "embedding-base-untargeted": ("plain", "unexpected_tensor", {"tensors": {EMBEDDING + "base_layer.weight": torch.ones(70, 24)}}),
    "embedding-wrong-vocabulary": ("embedding", "wrong_shape", {"tensors": {EMBEDDING + "lora_embedding_A": torch.ones(4, 72)}}),
    "embedding-wrong-width": ("embedding", "wrong_shape", {"tensors": {EMBEDDING + "lora_embedding_B": torch.ones(25, 4)}}),
    "embedding-wrong-magnitude": ("embedding-dora", "wrong_shape", {"tensors": {EMBEDDING + "lora_magnitude_vector": torch.ones(70)}}),
    "embedding-base-resized": ("embedding", "wrong_shape", {"tensors": {EMBEDDING + "base_layer.weight": torch.ones(72, 24)}}),
    "embedding-rank": ("embedding", "rank_mismatch", {"config": {"rank_pattern": {"embed_tokens": 8}}}),
    "embedding-nan": ("embedding", "non_finite_value", {"poke": (EMBEDDING + "lora_embedding_A", NAN)}),
    "embedding-base-nan": ("embedding", "non_finite_value", {"poke": (EMBEDDING + "base_layer.weight", NAN)}),
    "embedding-lora-bias": ("embedding", "invalid_field", {"config": {"lora_bias": True}}),
    "embedding-tied-differ": ("embedding-tied", "malformed_file", {"shift": [HEAD + "lora_B.weight"], "families": QWEN2}),
    "embedding-tied-missing": ("embedding-tied", "missing_tensor", {"tensors": {HEAD + "lora_A.weight": None}, "families": QWEN2}),
    "embedding-tied-ranks": (dict(rank_pattern={"embed_tokens": 2}, target_modules=QV + ["embed_tokens"], ensure_weight_tying=True), "rank_mismatch", {"families": QWEN2}),

    "head-missing-all": ("plain", "missing_tensor", {"config": {"target_modules": QV + ["lm_head"]}}),
    "head-missing-b": ("head", "missing_tensor", {"tensors": {HEAD + "lora_B.weight": None}}),
    "head-missing-bias": ("head-lora-bias", "missing_tensor", {"tensors": {HEAD + "lora_B.bias": None}}),
    "head-untargeted": ("head-no-base", "unexpected_tensor", {"config": {"target_modules": QV}}),
    "head-not-in-all-linear": ("all-linear", "unexpected_tensor", {"tensors": {HEAD + "lora_A.weight": torch.ones(4, 24), HEAD + "lora_B.weight": torch.ones(70, 4)}}),
    "head-bias": ("head", "unexpected_tensor", {"tensors": {HEAD + "base_layer.bias": torch.ones(70)}}),
    "head-plain-weight": ("plain", "unexpected_tensor", {"tensors": {HEAD + "weight": torch.ones(70, 24)}}),
    "head-wrong-vocabulary": ("head", "wrong_shape", {"tensors": {HEAD + "lora_B.weight": torch.ones(72, 4)}}),
    "head-wrong-bias": ("head-lora-bias", "wrong_shape", {"tensors": {HEAD + "lora_B.bias": torch.ones(71)}}),
    "head-base-resized": ("head", "wrong_shape", {"tensors": {HEAD + "base_layer.weight": torch.ones(72, 24)}}),
    "head-rank": ("head", "rank_mismatch", {"config": {"rank_pattern": {"lm_head": 8}}}),
    "head-base-integers": ("head", "unsupported_tensor_type", {"tensors": {HEAD + "base_layer.weight": torch.ones(70, 24, dtype=torch.int8)}}),
    "head-tied-bases-differ": ("embedding-and-head", "malformed_file", {"shift": [HEAD + "base_layer.weight"], "families": QWEN2}),

    "alora-text": ("plain", "invalid_field", {"config": {"alora_invocation_tokens": "9,7"}}),
    "alora-text-list": ("plain", "invalid_field", {"config": {"alora_invocation_tokens": ["9", "7"]}}),
    "alora-number": ("plain", "invalid_field", {"config": {"alora_invocation_tokens": 9}}),
    "alora-nested": ("plain", "invalid_field", {"config": {"alora_invocation_tokens": [[9, 7]]}}),
    "alora-float": ("plain", "invalid_field", {"config": {"alora_invocation_tokens": [9.5, 7]}}),
    "alora-negative": ("plain", "invalid_field", {"config": {"alora_invocation_tokens": [-1]}}),
    "alora-out-of-range": ("plain", "invalid_field", {"config": {"alora_invocation_tokens": [9, 70]}}),
    "alora-dora": ("dora", "invalid_field", {"config": {"alora_invocation_tokens": [9, 7]}}),
    "alora-without-task": ("alora-once", "invalid_field", {"config": {"task_type": None}}),
    "alora-embedding": ("embedding", "unsupported_field", {"config": {"alora_invocation_tokens": [9, 7]}}),
    "alora-saved": ("saved-head", "unsupported_field", {"config": {"alora_invocation_tokens": [9, 7]}}),
    "alora-saved-norm": ("saved-norm", "unsupported_field", {"config": {"alora_invocation_tokens": [9, 7]}}),
    "alora-tokens": ("tokens-list", "unsupported_field", {"config": {"alora_invocation_tokens": [9, 7]}}),
    "alora-bias": ("bias-all", "unsupported_field", {"config": {"alora_invocation_tokens": [9, 7]}, "families": QWEN2}),
}


def randomize(model):
    """Adapters as if trained: no B is zero, DoRA's magnitudes are off the norms, and what is trained beside
    the adapter (biases, modules_to_save, tokens) is off the base."""
    for name, p in model.named_parameters():
        with torch.no_grad():
            if "lora_" in name:
                if "magnitude" in name: p.mul_(1 + 0.3 * torch.rand_like(p))
                else: p.copy_(torch.randn_like(p) * (0.3 if "lora_A" in name else 0.2))
            elif p.requires_grad: p.add_(torch.randn_like(p) * 0.15)


def edit(folder, change):
    tensor_path, config_path = f"{folder}/adapter_model.safetensors", f"{folder}/adapter_config.json"
    tensors = load_file(tensor_path)
    if "dtypes" in change:
        tensors = {k: v.to(change["dtypes"]["lora_B" in k]) for k, v in tensors.items()}
    for name, tensor in change.get("tensors", {}).items():
        tensors.pop(name, None)
        if tensor is not None: tensors[name] = tensor
    if "poke" in change:
        name, value = change["poke"]
        tensors[name] = tensors[name].clone(); tensors[name].view(-1)[5] = value
    for name in change.get("shift", []):
        tensors[name] = tensors[name] + 0.2 * torch.linspace(-1, 1, tensors[name].numel()).sin().view_as(tensors[name])
    if "rename" in change:
        tensors = {k.replace(*change["rename"]): v for k, v in tensors.items()}
    config = json.load(open(config_path))
    if "unstack" in change: tensors = unstacked(tensors, config, json.load(open(f"{folder}/../model/config.json")))
    save_file(tensors, tensor_path)
    if change.get("pickle"):
        torch.save(tensors, f"{folder}/adapter_model.bin"); os.remove(tensor_path)
    for key, size in (("truncate", lambda n: n - change["truncate"]), ("cut_to", lambda n: change["cut_to"])):
        if key in change: os.truncate(tensor_path, size(os.path.getsize(tensor_path)))
    # PEFT writes them in the order of a set.
    if isinstance(config["target_modules"], list): config["target_modules"].sort()
    config.update(change.get("config", {}))
    json.dump(config, open(config_path, "w"), indent=1)
    if "config_text" in change:
        if change["config_text"] is None: os.remove(config_path)
        else: open(config_path, "w").write(change["config_text"])


def unstacked(tensors, config, base):
    """Experts as modules by themselves, as before transformers 5."""
    count = base.get("num_local_experts") or base["num_experts"]
    module, *names = ("block_sparse_moe", "w1", "w3", "w2") if base["model_type"] == "mixtral" else ("mlp", *ALL[4:])
    result, changed = {}, set()
    for name, tensor in tensors.items():
        head, _, half = name.partition(".mlp.experts.")
        if not half: result[name] = tensor; continue
        own, half = names[:2] if "base_layer" in half else names[2:], half.removeprefix("base_layer.")
        changed.update(own)
        for expert in range(count):
            if "lora_A" in half: parts = [tensor.reshape(count, -1, tensor.shape[1])[expert]] * len(own)
            else: parts = tensor.reshape(tensor.shape[0], -1, count)[:, :, expert].chunk(len(own))
            for projection, part in zip(own, parts): result[f"{head}.{module}.experts.{expert}.{projection}.{half}"] = part.contiguous().clone()
    config.update(target_modules=config["target_modules"] + sorted(changed), target_parameters=None)
    return result


def cases_of(family):
    if family in FIRST: return {name: case for name, case in ACCEPTED.items() if family in case[1].get("families", FIRST)}
    few = {name: ACCEPTED[name] for name in FEW if not (name == "saved-input-norm" and family == "olmo2")}
    if family in PHI: few = {name: fused(case) for name, case in few.items()}
    if family in MOE: few = {name: attending(case) for name, case in few.items()}
    return few | {name: case for name, case in OWN.items() if family in case[1]["families"]}


def attending(case):
    """A case that leaves experts alone."""
    targets = case[0]["target_modules"]
    targets = ALL[:4] if targets == "all-linear" else [name for name in targets if name not in ALL[4:]]
    return dict(case[0], target_modules=targets), case[1]


def fused(case):
    """A case with the names of modules that are several projections."""
    def rename(value):
        if isinstance(value, str): return re.sub(r"\b(gate|up)_proj", "gate_up_proj", re.sub(r"\b[qkv]_proj", "qkv_proj", value))
        if isinstance(value, list): return list(dict.fromkeys(map(rename, value)))
        return {rename(k): v for k, v in reversed(value.items())} if isinstance(value, dict) else value
    return {name: rename(value) for name, value in case[0].items()}, case[1]


def load(kind, base, adapter=None):
    # Only eager attention has soft caps.
    model = kind.from_pretrained(base, dtype=torch.float32, **({"attn_implementation": "eager"} if kind is Gemma2ForCausalLM else {}))
    return PeftModel.from_pretrained(model, adapter).eval() if adapter else model


def make(kind, base, path, settings):
    settings = dict(dict(r=4, lora_alpha=8), **settings)
    adapted = get_peft_model(load(kind, base), LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    randomize(adapted)
    adapted.save_pretrained(path)
    os.path.exists(f"{path}/README.md") and os.remove(f"{path}/README.md")


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float().contiguous()


def decoded(model):
    """What generate() computes with its cache from the last token of the prompt on, made to say TOKENS."""
    def force(ids, scores):
        return torch.full_like(scores, -INF).index_fill(1, torch.tensor([TOKENS[ids.shape[1]]]), 0.0)
    prompt = torch.tensor([TOKENS[:PROMPT_LENGTH]])
    result = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=len(TOKENS) - PROMPT_LENGTH,
                            do_sample=False, logits_processor=LogitsProcessorList([force]), output_logits=True,
                            return_dict_in_generate=True, pad_token_id=0)
    assert result.sequences[0].tolist() == TOKENS
    return torch.cat(result.logits).float().contiguous()


# MARK: GGUF, with the row order of llama.cpp's conversion of Llama's queries and keys

def permuted(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
              "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up", "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
# Where norms are behind attention and feed-forward, too or alone.
GGUF_NORMS = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}


def architecture(family):
    return {"gemma3_text": "gemma3", "phi4": "phi3", "mixtral": "llama"}.get(family, family)


def gguf_name(family, module):
    if (family, module) == ("seed_oss", "post_attention_layernorm"): return "post_attention_norm"
    return (GGUF_NORMS.get(module) if family in ("olmo2", "gemma2", "gemma3_text") else None) or GGUF_NAMES[module]


def gguf_array(family, config, module, w):
    w = w.float().numpy()
    if family.startswith("gemma") and module.endswith("norm"): w = w + 1
    if family in ("llama", "smollm3", "granite", "mixtral") and module.endswith(("q_proj", "k_proj")):
        w = permuted(w, config.num_attention_heads if module.endswith("q_proj") else config.num_key_value_heads)
    return np.ascontiguousarray(w)


def write_gguf(family, config, model, path):
    writer = GGUFWriter(path, architecture(family))
    writer.add_block_count(config.num_hidden_layers); writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size); writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads); writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps); rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(rope["rope_theta"])
    if family == "granite":
        writer.add_embedding_scale(config.embedding_multiplier); writer.add_residual_scale(config.residual_multiplier)
        writer.add_attention_scale(config.attention_multiplier); writer.add_logit_scale(config.logits_scaling)
    if family == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping); writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if family.startswith("gemma"): writer.add_sliding_window(config.sliding_window)
    if rope["rope_type"] in ("linear", "yarn"):
        if rope["rope_type"] == "yarn": writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_string(f"{architecture(family)}.rope.scaling.type", rope["rope_type"]); writer.add_float32(f"{architecture(family)}.rope.scaling.factor", rope["factor"])
    if rope["rope_type"] == "longrope":
        original = rope["original_max_position_embeddings"]; factor = config.max_position_embeddings / original
        writer.add_rope_scaling_orig_ctx_len(original); writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(factor) / np.log(original))))
        for kind in ("short", "long"): writer.add_tensor(f"rope_factors_{kind}.weight", np.array(rope[f"{kind}_factor"], dtype=np.float32))
        writer.add_rope_dimension_count(2 * len(rope["short_factor"])); writer.add_sliding_window(config.sliding_window or 0)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head); writer.add_value_length(head)
    if rope["rope_type"] == "llama3":
        p, freqs = config.rope_parameters, 1.0 / config.rope_parameters["rope_theta"] ** (np.arange(0, head, 2) / head)
        low, high, divisors = p["low_freq_factor"], p["high_freq_factor"], []
        for f in freqs:
            wave = 2 * np.pi / f
            smooth = (p["original_max_position_embeddings"] / wave - low) / (high - low)
            divisors.append(p["factor"] if wave > p["original_max_position_embeddings"] / low else
                            1.0 if wave < p["original_max_position_embeddings"] / high else 1 / ((1 - smooth) / p["factor"] + smooth))
        writer.add_tensor("rope_freqs.weight", np.array(divisors, dtype=np.float32))
    tensors = dict(model.state_dict())
    if family in MOE:
        if family == "qwen3moe": writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_count(config.num_local_experts); writer.add_expert_used_count(config.num_experts_per_tok)
        for layer in range(config.num_hidden_layers):
            gate_up, down = (tensors.pop(f"model.layers.{layer}.mlp.experts.{part}_proj").numpy() for part in ("gate_up", "down"))
            gate, up = np.split(gate_up, 2, axis=1)
            for part, values in (("gate", gate), ("up", up), ("down", down)): writer.add_tensor(f"blk.{layer}.ffn_{part}_exps.weight", np.ascontiguousarray(values))
            writer.add_tensor(f"blk.{layer}.ffn_gate_inp.weight", tensors.pop(f"model.layers.{layer}.mlp.gate.weight").numpy())
    for name, tensor in tensors.items():
        if name == "lm_head.weight":
            if config.tie_word_embeddings: continue
            target, module = "output.weight", ""
        elif name == "model.embed_tokens.weight": target, module = "token_embd.weight", ""
        elif name == "model.norm.weight": target, module = "output_norm.weight", "norm"
        else:
            _, _, layer, rest = name.split(".", 3)
            module, part = rest.rsplit(".", 1)
            target = f"blk.{layer}.{gguf_name(family, module)}.{part}"
        writer.add_tensor(target, gguf_array(family, config, module, tensor))
    finish(writer)


def write_gguf_lora(family, config, folder, path, alpha):
    writer = GGUFWriter(path, architecture(family))
    writer.add_string("general.type", "adapter"); writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, tensor in load_file(f"{folder}/adapter_model.safetensors").items():
        _, _, _, _, layer, module = name.split(".", 5)
        module, half = module.rsplit(".lora_", 1)
        array = tensor.float().numpy() if half[0] == "A" else gguf_array(family, config, module, tensor)
        writer.add_tensor(f"blk.{layer}.{GGUF_NAMES[module]}.weight.lora_{half[0].lower()}", np.ascontiguousarray(array))
    finish(writer)


def finish(writer):
    writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()


def main(output, *names):
    summary = {"tokens": TOKENS, "prompt_length": PROMPT_LENGTH, "families": {}}
    if names: summary = json.load(open(f"{output}/cases.json"))
    else: shutil.rmtree(output, ignore_errors=True)
    for family, (kind, config) in FAMILIES.items():
        if names and family not in names: continue
        torch.manual_seed(SEED)
        folder = f"{output}/{family}"
        shutil.rmtree(folder, ignore_errors=True)
        model = kind(config).eval()
        for p in model.parameters():
            with torch.no_grad(): p.copy_(torch.randn_like(p) * (0.1 if p.ndim == 1 else 0.25) + (1.0 if p.ndim == 1 and (p.shape[0] != 12 or family not in FIRST) and not family.startswith("gemma") else 0.0))
        model.save_pretrained(f"{folder}/model")
        os.path.exists(f"{folder}/model/generation_config.json") and os.remove(f"{folder}/model/generation_config.json")
        expected, cases = {"base": logits(model)}, {}
        if family not in NO_GGUF: write_gguf(family, config, model, f"{folder}/model.gguf")
        for name, (settings, change) in cases_of(family).items():
            path = f"{folder}/{name}"
            make(kind, f"{folder}/model", path, settings)
            edit(path, change)
            reference = load(kind, f"{folder}/model", path)
            expected[name], cases[name] = logits(reference), {}
            if "alora_invocation_tokens" in settings: expected[f"{name}.decoded"] = decoded(reference)
            difference = (expected[name] - expected["base"]).abs().max()
            assert difference == 0 if "inert" in change else difference > 1e-2, f"{name} differs from the base by {difference}"
        # Most refusals do not depend on the family.
        torch.manual_seed(SEED)
        for name, (source, code, change) in REFUSED.items():
            if family not in change.get("families", LLAMA): continue
            path = f"{folder}/refused-{name}"
            if isinstance(source, dict): make(kind, f"{folder}/model", path, source)
            else: shutil.copytree(f"{folder}/{source}", path)
            edit(path, change)
            cases[f"refused-{name}"] = {"code": code}
        if family not in NO_GGUF:
            write_gguf_lora(family, config, f"{folder}/all-linear", f"{folder}/all-linear.gguf", 8.0)
            write_gguf_lora(family, config, f"{folder}/plain", f"{folder}/alpha-zero.gguf", 0.0)
            reference = load(kind, f"{folder}/model", f"{folder}/plain")
            for module in reference.modules():
                if isinstance(getattr(module, "scaling", None), dict): module.scaling["default"] = 1.0
            expected["all-linear.gguf"], expected["alpha-zero.gguf"] = expected["all-linear"].clone(), logits(reference)
            cases["all-linear.gguf"] = cases["alpha-zero.gguf"] = {}
        save_file(expected, f"{folder}/expected.safetensors")
        summary["families"][family] = cases
        print(family, len(cases), "cases")
    json.dump(summary, open(f"{output}/cases.json", "w"), indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])

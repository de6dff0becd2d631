#!/usr/bin/env python3
"""Makes the goldens of Tests/ConformanceTests: a tiny random model for each family, one adapter for
each rule of PEFT's format, and what transformers + peft compute with it in 32-bit floats.

    scripts/make_conformance.py Tests/ConformanceTests/Goldens

Needs torch, transformers, peft, gguf (scripts/requirements-reference.txt). The seed is fixed. For a
case that is to be refused `cases.json` has the code instead of logits; those adapters are edits of
the ones that PEFT wrote.
"""
import json, os, shutil, sys

import numpy as np
import torch
from gguf import GGUFWriter
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

SEED = 7
TOKENS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 69, 0, 61, 33, 20, 50, 28, 8, 4, 19, 11]
SIZES = dict(vocab_size=70, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=False, rope_parameters=dict(
        rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16))),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=6, tie_word_embeddings=False)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=10, tie_word_embeddings=True)),
}
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

ACCEPTED = {  # name: (LoRA settings, changes to the saved adapter)
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
}
NAN, INF = float("nan"), float("inf")
KEY = "base_model.model.model.layers.0.self_attn.q_proj."
REFUSED = {  # name: (base case, code, changes); a change to a tensor is None to drop it
    "peft-type": ("plain", "unsupported_peft_type", {"config": {"peft_type": "LOHA"}}),
    "task-type": ("plain", "unsupported_task", {"config": {"task_type": "SEQ_CLS"}}),
    "bias-all": ("plain", "unsupported_field", {"config": {"bias": "all"}}),
    "bias-lora-only": ("plain", "unsupported_field", {"config": {"bias": "lora_only"}}),
    "modules-to-save": ("plain", "unsupported_field", {"config": {"modules_to_save": ["lm_head"]}}),
    "trainable-tokens": ("plain", "unsupported_field", {"config": {"trainable_token_indices": [1, 2]}}),
    "target-parameters": ("plain", "unsupported_field", {"config": {"target_parameters": ["mlp.experts"]}}),
    "layer-replication": ("plain", "unsupported_field", {"config": {"layer_replication": [[0, 2], [1, 2]]}}),
    "alora": ("plain", "unsupported_field", {"config": {"alora_invocation_tokens": [5, 6]}}),
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
    "target-head": ("plain", "unsupported_field", {"config": {"target_modules": ["q_proj", "v_proj", "lm_head"]}}),
    "target-embedding": ("plain", "unsupported_field", {"config": {"target_modules": ["q_proj", "v_proj", "embed_tokens"]}}),
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
}


def randomize(model):
    """Adapters as if trained: no B is zero, and DoRA's magnitudes are off the norms."""
    for name, p in model.named_parameters():
        if "lora_" in name:
            with torch.no_grad():
                if "magnitude" in name: p.mul_(1 + 0.3 * torch.rand_like(p))
                else: p.copy_(torch.randn_like(p) * (0.3 if "lora_A" in name else 0.2))


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
    if "rename" in change:
        tensors = {k.replace(*change["rename"]): v for k, v in tensors.items()}
    save_file(tensors, tensor_path)
    if change.get("pickle"):
        torch.save(tensors, f"{folder}/adapter_model.bin"); os.remove(tensor_path)
    for key, size in (("truncate", lambda n: n - change["truncate"]), ("cut_to", lambda n: change["cut_to"])):
        if key in change: os.truncate(tensor_path, size(os.path.getsize(tensor_path)))
    config = json.load(open(config_path)); config.update(change.get("config", {}))
    json.dump(config, open(config_path, "w"), indent=1)
    if "config_text" in change:
        if change["config_text"] is None: os.remove(config_path)
        else: open(config_path, "w").write(change["config_text"])


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float().contiguous()


# MARK: GGUF, with the row order of llama.cpp's conversion of Llama's queries and keys

def permuted(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
              "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}


def gguf_array(family, config, module, w):
    w = w.float().numpy()
    if family == "llama" and module.endswith(("q_proj", "k_proj")):
        w = permuted(w, config.num_attention_heads if module.endswith("q_proj") else config.num_key_value_heads)
    return np.ascontiguousarray(w)


def write_gguf(family, config, model, path):
    writer = GGUFWriter(path, family)
    writer.add_block_count(config.num_hidden_layers); writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size); writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads); writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps); writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head); writer.add_value_length(head)
    if config.rope_parameters["rope_type"] == "llama3":
        p, freqs = config.rope_parameters, 1.0 / config.rope_parameters["rope_theta"] ** (np.arange(0, head, 2) / head)
        low, high, divisors = p["low_freq_factor"], p["high_freq_factor"], []
        for f in freqs:
            wave = 2 * np.pi / f
            smooth = (p["original_max_position_embeddings"] / wave - low) / (high - low)
            divisors.append(p["factor"] if wave > p["original_max_position_embeddings"] / low else
                            1.0 if wave < p["original_max_position_embeddings"] / high else 1 / ((1 - smooth) / p["factor"] + smooth))
        writer.add_tensor("rope_freqs.weight", np.array(divisors, dtype=np.float32))
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            if config.tie_word_embeddings: continue
            target, module = "output.weight", ""
        elif name == "model.embed_tokens.weight": target, module = "token_embd.weight", ""
        elif name == "model.norm.weight": target, module = "output_norm.weight", ""
        else:
            _, _, layer, rest = name.split(".", 3)
            module, part = rest.rsplit(".", 1)
            target = f"blk.{layer}.{GGUF_NAMES[module]}.{part}"
        writer.add_tensor(target, gguf_array(family, config, module, tensor))
    finish(writer)


def write_gguf_lora(family, config, folder, path, alpha):
    writer = GGUFWriter(path, family)
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


def main(output):
    shutil.rmtree(output, ignore_errors=True)
    summary = {"tokens": TOKENS, "families": {}}
    for family, (kind, config) in FAMILIES.items():
        torch.manual_seed(SEED)
        folder = f"{output}/{family}"
        model = kind(config).eval()
        for p in model.parameters():
            with torch.no_grad(): p.copy_(torch.randn_like(p) * (0.1 if p.ndim == 1 else 0.25) + (1.0 if p.ndim == 1 and p.shape[0] != 12 else 0.0))
        model.save_pretrained(f"{folder}/model")
        os.path.exists(f"{folder}/model/generation_config.json") and os.remove(f"{folder}/model/generation_config.json")
        expected, cases = {"base": logits(model)}, {}
        if family != "mistral": write_gguf(family, config, model, f"{folder}/model.gguf")
        for name, (settings, change) in ACCEPTED.items():
            path = f"{folder}/{name}"
            settings = dict(dict(r=4, lora_alpha=8), **settings)
            adapted = get_peft_model(kind.from_pretrained(f"{folder}/model", dtype=torch.float32), LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
            randomize(adapted)
            adapted.save_pretrained(path)
            os.path.exists(f"{path}/README.md") and os.remove(f"{path}/README.md")
            edit(path, change)
            reference = PeftModel.from_pretrained(kind.from_pretrained(f"{folder}/model", dtype=torch.float32), path).eval()
            expected[name], cases[name] = logits(reference), {}
            assert (expected[name] - expected["base"]).abs().max() > 1e-2, f"{name} changes nothing"
        # The refusals do not depend on the family.
        for name, (source, code, change) in REFUSED.items() if family == "llama" else ():
            shutil.copytree(f"{folder}/{source}", f"{folder}/refused-{name}")
            edit(f"{folder}/refused-{name}", change)
            cases[f"refused-{name}"] = {"code": code}
        if family != "mistral":
            write_gguf_lora(family, config, f"{folder}/all-linear", f"{folder}/all-linear.gguf", 8.0)
            write_gguf_lora(family, config, f"{folder}/plain", f"{folder}/alpha-zero.gguf", 0.0)
            reference = PeftModel.from_pretrained(kind.from_pretrained(f"{folder}/model", dtype=torch.float32), f"{folder}/plain").eval()
            for module in reference.modules():
                if isinstance(getattr(module, "scaling", None), dict): module.scaling["default"] = 1.0
            expected["all-linear.gguf"], expected["alpha-zero.gguf"] = expected["all-linear"].clone(), logits(reference)
            cases["all-linear.gguf"] = cases["alpha-zero.gguf"] = {}
        save_file(expected, f"{folder}/expected.safetensors")
        summary["families"][family] = cases
        print(family, len(cases), "cases")
    json.dump(summary, open(f"{output}/cases.json", "w"), indent=1)


if __name__ == "__main__":
    main(sys.argv[1])

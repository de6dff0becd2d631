#!/usr/bin/env python3
"""Prints, as JSON, what transformers makes of config.json files that leave fields out or set them
to null: for every family and case, the file's fields and either the effective values or the error.
A null among the effective rope parameters is one that the model cannot compute with. Needs
transformers, not torch: scripts/make_config_defaults.py > Tests/ModelFilesTests/Goldens/config_defaults.json
"""
import json
import os
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
import transformers

FAMILIES = ["llama", "mistral", "qwen2", "qwen3"]
SIZES = {"vocab_size": 320, "hidden_size": 1024, "intermediate_size": 96,
         "num_hidden_layers": 4, "num_attention_heads": 64}
OPTIONAL = [
    "num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps",
    "rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "attention_bias",
    "mlp_bias", "sliding_window", "use_sliding_window", "max_window_layers", "layer_types",
    "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "torch_dtype", "dtype",
    "attention_dropout", "pretraining_tp", "quantization_config"]
REPORTED = [
    "model_type", "vocab_size", "max_position_embeddings", "num_key_value_heads", "head_dim",
    "hidden_act", "rms_norm_eps", "rope_parameters", "attention_bias", "mlp_bias",
    "sliding_window", "layer_types", "tie_word_embeddings", "bos_token_id", "eos_token_id"]
ORIGINAL = "original_max_position_embeddings"
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          ORIGINAL: 256}


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


def cases():
    yield "minimal", {}
    yield "vocab_size absent", {"vocab_size": ...}
    for name in OPTIONAL:
        yield f"{name} null", {name: None}
    linear, plain = {"type": "linear", "factor": 2.0}, {"rope_type": "default"}
    yield "theta beside scaling", {"rope_theta": 5e5, "rope_scaling": linear}
    yield "theta inside scaling", {"rope_theta": 5e5, "rope_scaling": linear | {"rope_theta": 7e5}}
    yield "theta beside parameters", {"rope_theta": 5e5, "rope_parameters": plain}
    yield "theta null inside", {"rope_theta": 5e5, "rope_parameters": {"rope_theta": None}}
    yield "parameters empty", {"rope_theta": 5e5, "rope_parameters": {}}
    both = {"rope_scaling": linear, "rope_parameters": plain | {"rope_theta": 9e5}}
    yield "scaling and parameters", both
    yield "scaling and parameters and theta", both | {"rope_theta": 5e5}
    yield "scaling empty and parameters", both | {"rope_scaling": {}}
    yield "scaling null and parameters", both | {"rope_scaling": None}
    yield "type and rope_type", {"rope_scaling": linear | plain}
    yield "rope_type null", {"rope_scaling": linear | {"rope_type": None}}
    yield "type absent", {"rope_scaling": {"factor": 2.0}}
    yield "factor absent", {"rope_scaling": {"rope_type": "linear"}}
    yield "factor null", {"rope_scaling": {"rope_type": "linear", "factor": None}}
    yield "llama3", {"rope_scaling": LLAMA3}
    for name in without(LLAMA3, "rope_type"):
        yield f"llama3, {name} absent", {"rope_scaling": without(LLAMA3, name)}
    yield "llama3, original beside", {"rope_scaling": without(LLAMA3, ORIGINAL), ORIGINAL: 128}
    yield "nested parameters", {"rope_parameters": {"full_attention": plain}}
    yield "partial rotary", {"partial_rotary_factor": 0.5}
    yield "unknown rope", {"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}
    window = {"use_sliding_window": True, "max_window_layers": 2, "sliding_window": 16}
    yield "window on", window
    yield "window on, size absent", window | {"sliding_window": ...}
    yield "window on, size null", window | {"sliding_window": None}
    late = {"max_window_layers": ..., "num_hidden_layers": 30}
    yield "window on, first layer absent", window | late
    yield "window size alone", {"sliding_window": 16}
    yield "window size zero", {"sliding_window": 0, "use_sliding_window": True}
    yield "layer types", (types := {"layer_types": ["full_attention", "sliding_attention"] * 2})
    yield "layer types, window on", types | window
    yield "layer types too few", {"layer_types": ["full_attention"]}


def effective(fields):
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/config.json", "w") as file:
            json.dump(fields, file)
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            config.standardize_rope_params()  # as models do when they compute their frequencies
        except Exception as error:
            return {"error": type(error).__name__, "message": " ".join(str(error).split())}
    values = {name: getattr(config, name) for name in REPORTED if hasattr(config, name)}
    values["head_dim"] = values.get("head_dim") or config.hidden_size // config.num_attention_heads
    return {"values": values}


lines = []
for family in FAMILIES:
    for name, changes in cases():
        fields = ({"model_type": family} | SIZES | changes).items()
        fields = {key: value for key, value in fields if value is not ...}  # ... is absent
        case = {"name": f"{family}: {name}", "config": fields}
        lines.append(json.dumps(case | effective(fields)))
print(f'{{"transformers": "{transformers.__version__}", "cases": [')
print(",\n".join(lines) + "\n]}")

#!/usr/bin/env python3
"""Makes checkpoints in the quantized formats that Martlet reads, and beside them the weights that the formats' own
libraries decode from them.

    python3 scripts/make_quantized_goldens.py Tests/ModelFilesTests/Goldens/quantized
        (needs scripts/requirements-quantized.txt; autoawq and gptqmodel with --no-deps, see there)

OUT/<checkpoint>/            config.json and safetensors, one file or two shards
OUT/references/<checkpoint>.safetensors
                             `logits` of index.json's tokens, and the first rows of each quantized weight of layer 0
OUT/index.json               the tokens; for each checkpoint who decoded it, and of every quantized weight the shape and the
                             SHA-256 of its values as little-endian f32, row by row
OUT/changes.json             changes to a checkpoint's config.json (JSON merge patches): `refused` ones with the reason, and
                             `same` ones, which change nothing

Who decodes, in f32, from what the files hold:
    gptq                 gptqmodel: TorchLinear.dequantize_weight, and its conversion of v1 zeros; packed by TorchLinear.pack
    awq                  autoawq: dequantize_gemm; packed by WQLinear_GEMM
    compressed-tensors   the library's compressors, both ways; it also chooses the modules, by targets and ignore
    fp8 in blocks        transformers: _dequantize_fp8_weight
    fp8 and fbgemm_fp8 with a scale per tensor or row
                         torch: the weight as f32 times the scale; transformers quantizes rows
The logits are those of transformers' Llama with these weights, in f32. Then transformers opens every checkpoint that it can
on a CPU through its own loaders, and its logits must be those of the weights, rounded to the type of the scales where the
loaders multiply in that.
"""
import copy
import hashlib
import importlib.util
import json
import os
import sys
import types

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from compressed_tensors import __version__ as compressed_tensors_version
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig
from compressed_tensors.quantization.utils import calculate_qparams
from compressed_tensors.utils.match import match_named_modules
from gptqmodel import QuantizeConfig, __version__ as gptqmodel_version
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.quantizer import Quantizer
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module, convert_gptq_v2_to_v1_format_module
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig, LlamaConfig, LlamaForCausalLM
from transformers.integrations.compressed_tensors import quantize_fp8_per_row
from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight

# autoawq imports model classes that transformers 5 no longer has; its packing needs none of them.
for name in ("awq", "awq.modules", "awq.modules.linear"):
    module = types.ModuleType(name)
    root = (importlib.util.find_spec("awq") if name == "awq" else sys.modules["awq"].__spec__)
    module.__spec__ = root
    module.__path__ = [os.path.join(root.submodule_search_locations[0], *name.split(".")[1:])]
    sys.modules[name] = module
from awq.modules.linear.gemm import WQLinear_GEMM  # noqa: E402
from awq.utils.packing_utils import dequantize_gemm  # noqa: E402

ROWS_KEPT = 4
TOKENS = [3, 61, 17, 0, 42, 8, 8, 29, 55, 12, 33, 1, 63, 20, 47, 5]
E4M3 = torch.float8_e4m3fn


class Checkpoint:
    """One being made: the model before, what its files will hold, and what they decode to."""

    def __init__(self, name, seed, intermediate=128, dtype=torch.float16):
        self.name, self.dtype = name, dtype
        self.config = LlamaConfig(
            hidden_size=64, intermediate_size=intermediate, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, vocab_size=64, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
            tie_word_embeddings=False,
        )
        torch.manual_seed(seed)
        self.model = LlamaForCausalLM(self.config).to(dtype).float()
        with torch.no_grad():
            for parameter in self.model.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(0, parameter.shape[1] ** -0.5)
                    parameter.copy_(parameter.to(dtype))
        self.stored = {n: p.detach().to(dtype) for n, p in self.model.named_parameters()}
        self.decoded = {}
        self.quantization = None
        self.authority = None

    @property
    def linears(self):
        return [n for n, m in self.model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"]

    def weight(self, module):
        return self.model.get_submodule(module).weight.detach().clone()

    def replace(self, module, stored, decoded):
        """Puts `stored`, by the names inside of the module, where the module's weight was."""
        del self.stored[module + ".weight"]
        for name, tensor in stored.items():
            self.stored[f"{module}.{name}"] = tensor.contiguous().clone()
        assert decoded.dtype == torch.float32 and decoded.shape == self.weight(module).shape, module
        assert (decoded - self.weight(module)).abs().max() < 0.2, module
        self.decoded[module + ".weight"] = decoded.contiguous()

    def logits(self, rounded=False):
        weights = {n: t.float() for n, t in self.stored.items() if n in dict(self.model.named_parameters())}
        weights.update({n: t.to(self.dtype).float() if rounded else t for n, t in self.decoded.items()})
        reference = LlamaForCausalLM(self.config).eval()
        reference.load_state_dict(weights)
        with torch.no_grad():
            return reference(torch.tensor([TOKENS])).logits[0]

    def write(self, out, shards=1):
        folder = os.path.join(out, self.name)
        os.makedirs(folder)
        config = self.config.to_diff_dict()
        config.update(architectures=["LlamaForCausalLM"], model_type="llama", dtype=str(self.dtype)[6:])
        config["quantization_config"] = self.quantization
        config.pop("transformers_version", None)
        write_json(os.path.join(folder, "config.json"), config)
        names = sorted(self.stored)
        if shards == 1:
            save_file(self.stored, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        else:
            # Every other tensor, so that the parts of a weight lie in different files.
            where = {n: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, n in enumerate(names)}
            for file in sorted(set(where.values())):
                part = {n: self.stored[n] for n in names if where[n] == file}
                save_file(part, os.path.join(folder, file), metadata={"format": "pt"})
            size = sum(t.numel() * t.element_size() for t in self.stored.values())
            write_json(
                os.path.join(folder, "model.safetensors.index.json"),
                {"metadata": {"total_size": size}, "weight_map": where},
            )
        logits = self.logits()
        rows = {n: t[:ROWS_KEPT].clone() for n, t in self.decoded.items() if n.startswith("model.layers.0.")}
        save_file({**rows, "logits": logits}, os.path.join(out, "references", self.name + ".safetensors"))
        return {
            "folder": self.name,
            "authority": self.authority,
            "tensors": {
                n: {"shape": list(t.shape), "sha256": hashlib.sha256(t.numpy().astype("<f4").tobytes()).hexdigest()}
                for n, t in sorted(self.decoded.items())
            },
        }


def write_json(path, value, depth=2):
    """Writes what lies deeper than `depth` on one line."""

    def text(value, level):
        if level == depth or not isinstance(value, (dict, list)) or not value:
            return json.dumps(value)
        members = (
            (json.dumps(k) + ": " + text(v, level + 1) for k, v in value.items()) if isinstance(value, dict)
            else (text(v, level + 1) for v in value)
        )
        ends = "{}" if isinstance(value, dict) else "[]"
        inner, outer = "\n" + " " * (level + 1), "\n" + " " * level
        return ends[0] + ",".join(inner + member for member in members) + outer + ends[1]

    with open(path, "w") as file:
        file.write(text(value, 0) + "\n")


# --- GPTQ ---------------------------------------------------------------------------------------------------------


def gptq_layer(bits, group_size, sym, desc_act, inputs, outputs):
    return TorchLinear(
        bits=bits, group_size=group_size, sym=sym, desc_act=desc_act, in_features=inputs, out_features=outputs,
        bias=False, register_buffers=True,
    ).eval()


def gptq(
    name, seed, *, bits, group_size, sym, desc_act=False, form="gptq", g_idx=True, dynamic=None, plain=(), intermediate=128
):
    checkpoint = Checkpoint(name, seed, intermediate)
    settings = QuantizeConfig(
        bits=bits, group_size=group_size, sym=sym, desc_act=desc_act, format=form, dynamic=dynamic,
        act_group_aware=False,
    )
    for module in checkpoint.linears:
        if module in plain:
            continue
        weight = checkpoint.weight(module)
        outputs, inputs = weight.shape
        size = inputs if group_size == -1 else group_size
        # The groups of inputs as act-order makes them: of those that come together after a permutation.
        order = torch.randperm(inputs) if desc_act else torch.arange(inputs)
        groups = torch.empty(inputs, dtype=torch.int32)
        groups[order] = (torch.arange(inputs) // size).int()
        if not sym:
            # Zeros of 0 and of the largest integer, which are stored minus one.
            weight[:4, groups == 0] = weight[:4, groups == 0].abs()
            weight[4:8, groups == 0] = -weight[4:8, groups == 0].abs()
            checkpoint.model.get_submodule(module).weight.data.copy_(weight)
        scales, zeros = [], []
        for group in range(inputs // size):
            quantizer = Quantizer(settings)
            quantizer.configure(perchannel=True)
            quantizer.find_params(weight[:, groups == group], weight=True)
            scales.append(quantizer.scale.reshape(outputs, 1))
            zeros.append(quantizer.zero.reshape(outputs, 1))
        layer = gptq_layer(bits, group_size, sym, desc_act, inputs, outputs)
        linear = torch.nn.Linear(inputs, outputs, bias=False)
        linear.weight.data.copy_(weight)
        layer.pack(linear, torch.cat(scales, 1), torch.cat(zeros, 1), groups)
        if form == "gptq":
            convert_gptq_v2_to_v1_format_module(layer, settings)
        names = ["qweight", "qzeros", "scales"] + (["g_idx"] if g_idx else [])
        stored = {n: getattr(layer, n).detach().clone() for n in names}

        reader = gptq_layer(bits, group_size, sym, desc_act, inputs, outputs)
        for part, tensor in stored.items():
            setattr(reader, part, tensor.float() if part == "scales" else tensor.clone())
        if form == "gptq":
            convert_gptq_v1_to_v2_format_module(reader, bits, torch.int32)
        checkpoint.replace(module, stored, reader.dequantize_weight().T)
    checkpoint.quantization = settings.to_dict()
    checkpoint.quantization["meta"] = {"quantizer": [f"gptqmodel:{gptqmodel_version}"], "damp_percent": 0.05}
    checkpoint.authority = f"gptqmodel {gptqmodel_version}"
    return checkpoint


# --- AWQ ----------------------------------------------------------------------------------------------------------


def awq(name, seed, *, group_size, plain=()):
    checkpoint = Checkpoint(name, seed)
    for module in checkpoint.linears:
        if any(p in module for p in plain):
            continue
        weight = checkpoint.weight(module)
        outputs, inputs = weight.shape
        size = inputs if group_size == -1 else group_size
        grouped = weight.reshape(outputs, -1, size)
        low, high = grouped.amin(2), grouped.amax(2)
        scales = ((high - low).clamp(min=1e-5) / 15).half().float()
        zeros = (-torch.round(low / scales)).clamp(0, 15)
        values = torch.clamp(torch.round(grouped / scales[..., None]) + zeros[..., None], 0, 15)
        linear = torch.nn.Linear(inputs, outputs, bias=False)
        linear.weight.data.copy_(((values - zeros[..., None]) * scales[..., None]).reshape(outputs, inputs))
        layer = WQLinear_GEMM.from_linear(linear, 4, size, scales=scales.T.contiguous(), zeros=zeros.T.contiguous())
        stored = {"qweight": layer.qweight, "qzeros": layer.qzeros, "scales": layer.scales}
        decoded = dequantize_gemm(layer.qweight, layer.qzeros, layer.scales.float(), 4, size)
        checkpoint.replace(module, stored, decoded.T)
    checkpoint.quantization = {
        "quant_method": "awq", "zero_point": True, "group_size": group_size, "bits": 4, "version": "gemm",
        "modules_to_not_convert": list(plain) or None,
    }
    checkpoint.authority = "autoawq 0.2.9"
    return checkpoint


# --- compressed-tensors -------------------------------------------------------------------------------------------


def extremes(weight, args):
    if args.strategy == "tensor":
        return weight.min().reshape(1), weight.max().reshape(1)
    if args.strategy == "channel":
        return weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    if args.strategy == "group":
        grouped = weight.reshape(weight.shape[0], -1, args.group_size)
        return grouped.amin(2), grouped.amax(2)
    height, width = args.block_structure
    blocks = [
        [block for block in torch.split(rows, width, 1)] for rows in torch.split(weight, height, 0)
    ]
    return tuple(torch.stack([torch.stack([f(b) for b in row]) for row in blocks]) for f in (torch.min, torch.max))


def compressed(name, seed, groups, *, form=None, ignore=("lm_head",), static_inputs=False, intermediate=96):
    checkpoint = Checkpoint(name, seed, intermediate, torch.bfloat16)
    config = QuantizationConfig.model_validate({
        "config_groups": copy.deepcopy(groups), "quant_method": "compressed-tensors",
        "format": form or next(iter(groups.values()))["format"], "quantization_status": "compressed",
        "ignore": list(ignore),
    })
    done = set()
    for scheme in config.config_groups.values():
        compressor = BaseCompressor.get_value_from_registry(scheme.format)
        for module, kind in match_named_modules(checkpoint.model, scheme.targets, list(ignore)):
            if not isinstance(kind, torch.nn.Linear):
                continue
            assert module not in done
            done.add(module)
            weight, args = checkpoint.weight(module).bfloat16(), scheme.weights
            scale, zero = calculate_qparams(*extremes(weight, args), args)
            state = {"weight": weight, "weight_scale": scale}
            if not args.symmetric:
                state["weight_zero_point"] = zero
            stored = compressor.compress(state, scheme)
            # The library computes in the type of the scales, which is the model's when it is loaded.
            decoded = compressor.decompress({**stored, "weight_scale": stored["weight_scale"].float()}, scheme)
            if static_inputs:
                stored["input_scale"] = torch.tensor([0.0625], dtype=torch.bfloat16)
            checkpoint.replace(module, stored, decoded["weight"])
    checkpoint.quantization = config.model_dump(mode="json")
    checkpoint.quantization.update(version=compressed_tensors_version, sparsity_config={}, transform_config={})
    checkpoint.authority = f"compressed-tensors {compressed_tensors_version}"
    return checkpoint


def scheme(form, targets=("Linear",), inputs=None, **weights):
    return {"targets": list(targets), "format": form, "weights": {"dynamic": False, **weights}, "input_activations": inputs}


# --- FP8 ----------------------------------------------------------------------------------------------------------


def fp8_blocks(name, seed, *, block, intermediate=128, scale_type=torch.float32, plain=(), **more):
    checkpoint = Checkpoint(name, seed, intermediate, torch.bfloat16)
    for module in checkpoint.linears:
        if module in plain:
            continue
        weight = checkpoint.weight(module)
        arguments = QuantizationArgs(num_bits=8, type="float", strategy="block", block_structure=block)
        low, high = extremes(weight, arguments)
        scale = (torch.maximum(low.abs(), high.abs()) / torch.finfo(E4M3).max).to(scale_type)
        expanded = scale.float().repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
        stored = (weight / expanded[: weight.shape[0], : weight.shape[1]]).clamp(-448, 448).to(E4M3)
        decoded = _dequantize_fp8_weight(stored, scale, block, torch.float32)
        checkpoint.replace(module, {"weight": stored, "weight_scale_inv": scale}, decoded)
    checkpoint.quantization = {
        "quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": block,
        "modules_to_not_convert": ["lm_head", *plain], **more,
    }
    checkpoint.authority = "transformers 5.24.0"
    return checkpoint


def fp8_tensors(name, seed):
    checkpoint = Checkpoint(name, seed, 96, torch.bfloat16)
    for module in checkpoint.linears:
        weight = checkpoint.weight(module)
        scale = weight.abs().max() / torch.finfo(E4M3).max
        stored = (weight / scale).clamp(-448, 448).to(E4M3)
        parts = {"weight": stored, "weight_scale": scale, "input_scale": torch.tensor(0.0625)}
        checkpoint.replace(module, parts, stored.float() * scale)
    checkpoint.quantization = {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]}
    checkpoint.authority = "torch " + torch.__version__
    return checkpoint


def fbgemm(name, seed):
    checkpoint = Checkpoint(name, seed, 96, torch.bfloat16)
    plain = [n for n in checkpoint.linears if n.startswith("model.layers.1.self_attn")]
    for module in checkpoint.linears:
        if module in plain:
            continue
        stored, scales = quantize_fp8_per_row(checkpoint.weight(module))
        parts = {"weight": stored, "weight_scale": scales[:, None], "input_scale_ub": torch.tensor([1200.0])}
        checkpoint.replace(module, parts, stored.float() * scales[:, None])
    checkpoint.quantization = {
        "quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head", *plain],
    }
    checkpoint.authority = "torch " + torch.__version__
    return checkpoint


# --- Changes ------------------------------------------------------------------------------------------------------


def changes():
    def of(checkpoint, **members):
        return {"checkpoint": checkpoint, "patch": {"quantization_config": members}}

    def weights(checkpoint, **members):
        return of(checkpoint, config_groups={"group_0": {"weights": members}})

    gptq, act, awq = "gptq-4bit-g32", "gptq-4bit-g64-act-order", "awq-g32"
    pack, float8, block = "ct-pack-int4-g32", "ct-float-channel", "fp8-block"
    refused = [
        (of(gptq, bits=2), "bits are 4 or 8"),
        (of(gptq, bits=3), "bits are 4 or 8"),
        (of(gptq, bits=8), "the tensors hold 4 bits"),
        (of(gptq, bits=None), "bits is required"),
        (of(gptq, group_size=64), "the scales are of groups of 32"),
        (of(gptq, group_size=0), "a group has inputs"),
        (of(gptq, checkpoint_format="marlin"), "another layout"),
        (of(gptq, checkpoint_format="bitblas"), "another layout"),
        (of(gptq, checkpoint_format="gptq_p"), "another layout"),
        (of(gptq, checkpoint_format="gptq_v3"), "an unknown layout"),
        (of(gptq, checkpoint_format=None, format="marlin"), "another layout"),
        (of(gptq, is_marlin_format=True), "another layout"),
        (of(gptq, pack_dtype="int16"), "words of 16 bits"),
        (of(gptq, rotation="hadamard"), "inputs are rotated as the model runs"),
        (of(gptq, adapter={"name": "lora", "rank": 64, "path": "eora"}), "an adapter belongs to the weights"),
        (of(gptq, quant_method=None), "quant_method is required"),
        (of(gptq, load_in_4bit=True), "bitsandbytes, whatever quant_method says"),
        (of(act, desc_act=False), "g_idx is not in order"),
        ({"checkpoint": gptq, "patch": {"quantization_config": None}}, "quantized tensors without a configuration"),
        (of(awq, bits=8), "AWQ has 4 bits"),
        (of(awq, bits=3), "AWQ has 4 bits"),
        (of(awq, version="gemv"), "another layout"),
        (of(awq, version="gemv_fast"), "another layout"),
        (of(awq, version="marlin"), "another layout"),
        (of(awq, version="exllama"), "another layout"),
        (of(awq, version="llm-awq"), "another layout"),
        (of(awq, backend="llm-awq"), "another layout"),
        (of(awq, zero_point=False), "gemm files have zeros"),
        (of(awq, group_size=64), "the scales are of groups of 32"),
        (of(pack, kv_cache_scheme={"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": True, "dynamic": False}),
         "keys and values are rounded as the model runs"),
        (of(pack, sparsity_config={"format": "sparse-24-bitmask", "targets": ["Linear"], "sparsity_structure": "2:4"}),
         "sparse weights"),
        (of(pack, sparsity_config={"format": "sparse-bitmask"}), "sparse weights"),
        (of(pack, transform_config={"config_groups": {"u": {"type": "hadamard", "apply": []}}}),
         "inputs are rotated as the model runs"),
        (weights(pack, actorder="group"), "weight_g_idx is not read"),
        (weights(pack, actorder="dynamic"), "weight_g_idx is not read"),
        (weights(pack, actorder=True), "weight_g_idx is not read"),
        (weights(pack, num_bits=3), "bits are 4 or 8"),
        (weights(pack, num_bits=2), "bits are 4 or 8"),
        (weights(pack, num_bits=8), "the tensors hold 4 bits"),
        (weights(pack, group_size=64), "the scales are of groups of 32"),
        (weights(pack, symmetric=False), "there are no zero points"),
        (weights(pack, type="float"), "FP4 is not read"),
        (weights(pack, strategy="tensor_group", group_size=16), "NVFP4 is not read"),
        (weights(pack, strategy="token", group_size=None), "no strategy of weights"),
        (weights(pack, dynamic=True), "weights are not dynamic"),
        (of(pack, config_groups={"group_0": {"output_activations": {"num_bits": 8, "type": "float"}}}),
         "outputs are rounded as the model runs"),
        (of(pack, config_groups={"group_0": None, "W4A16": ["Linear"]}), "a preset's name says too little"),
        *((of(pack, format=form, config_groups={"group_0": {"format": form}}), f"format {form}") for form in (
            "dense", "marlin-24", "sparse-bitmask", "sparse-24-bitmask", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
            "mxfp6-pack-quantized", "mxfp8-quantized")),
        (weights(float8, num_bits=4), "FP4 is not read"),
        (weights(float8, type="int"), "the tensors hold floats"),
        (of(block, fmt="e5m2"), "E4M3 only"),
        (of(block, weight_block_size=[64, 64]), "the scales are of other blocks"),
        (of(block, weight_block_size=[0, 64]), "a block has weights"),
        (of(block, weight_block_size=[64]), "a block has two sides"),
        (of(block, weight_block_size=None), "the scales are of other blocks than 128 x 128"),
        (of(block, activation_scheme="other"), "unknown activation scheme"),
        (of(block, kv_cache_scheme={"dtype": "fp8"}), "keys and values are rounded as the model runs"),
        *((of(gptq, quant_method=method), f"quant_method {method}") for method in (
            "bitsandbytes", "hqq", "quanto", "eetq", "aqlm", "auto-round", "higgs", "vptq", "spqr", "torchao", "bitnet",
            "quark", "mxfp4", "mxfp8", "nvfp4", "fp_quant", "modelopt", "exl3", "awq", "")),
    ]
    same = [
        of(gptq, checkpoint_format=None),
        of(gptq, checkpoint_format=None, format=None),
        of(gptq, checkpoint_format="GPTQ", quant_method="gptq"),
        of(gptq, sym=None, desc_act=None, pack_dtype=None, meta=None, lm_head=None),
        of(gptq, use_exllama=False, damp_percent=0.01, true_sequential=True, static_groups=False, dynamic={}),
        of(gptq, desc_act=True),
        of(awq, version="GEMM"),
        of(awq, version=None),
        of(awq, zero_point=None, modules_to_not_convert=None, do_fuse=False, backend="autoawq"),
        of(pack, sparsity_config=None, transform_config=None, global_compression_ratio=1.5, quantization_status="frozen"),
        of(pack, sparsity_config={"format": "dense", "global_sparsity": 0.1}),
        of(pack, config_groups={"group_0": {"format": None}}),
        weights(pack, actorder="weight"),
        weights(pack, actorder="static", observer="minmax", observer_kwargs={}),
        weights(pack, actorder=False, strategy=None),
        weights(pack, type="INT"),
        of(float8, config_groups={"group_0": {"input_activations": None}}),
        of(block, scale_fmt="ue8m0"),
        of(block, fmt=None, activation_scheme=None, modules_to_not_convert=None),
        of("fp8-block-128-cut", weight_block_size=None),
        of("fbgemm-fp8", activation_scale_ub=None),
    ]
    return {"refused": [{**change, "reason": reason} for change, reason in refused], "same": same}


# --- All ----------------------------------------------------------------------------------------------------------


def checkpoints():
    first = "gptq-4bit-g32"
    yield gptq(first, 1, bits=4, group_size=32, sym=True), 1
    yield gptq("gptq-4bit-g64-act-order", 2, bits=4, group_size=64, sym=False, desc_act=True), 2
    yield gptq(
        "gptq-v2-4bit-g32", 3, bits=4, group_size=32, sym=False, form="gptq_v2", g_idx=False,
        dynamic={"-:.*layers\\.1\\.mlp\\.down_proj": {}}, plain=["model.layers.1.mlp.down_proj"]), 1
    yield gptq("gptq-8bit-channel", 4, bits=8, group_size=-1, sym=True, intermediate=96), 1
    yield gptq("gptq-8bit-g32-act-order", 5, bits=8, group_size=32, sym=False, desc_act=True), 1

    yield awq("awq-g32", 6, group_size=32), 1
    yield awq("awq-g64", 7, group_size=64, plain=["layers.1.self_attn.o_proj"]), 2

    dynamic = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    dynamic_float = {**dynamic, "type": "float"}
    static_float = {**dynamic_float, "strategy": "tensor", "dynamic": False}
    int4 = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
    channel8 = {"num_bits": 8, "symmetric": True, "strategy": "channel"}
    yield compressed("ct-pack-int4-g32", 8, {"group_0": scheme("pack-quantized", **int4)}, intermediate=128), 1
    yield compressed(
        "ct-pack-int4-g64-zeros", 9,
        {"group_0": scheme("pack-quantized", **{**int4, "symmetric": False, "group_size": 64})},
        ignore=["lm_head", "re:.*layers\\.1\\.self_attn\\..*"], intermediate=128), 2
    yield compressed(
        "ct-pack-int8-channel-zeros", 10,
        {"group_0": scheme("pack-quantized", **{**channel8, "symmetric": False}, type="int")}), 1
    yield compressed("ct-int-channel", 11, {"group_0": scheme("int-quantized", inputs=dynamic, type="int", **channel8)}), 1
    yield compressed(
        "ct-naive-int-zeros", 12,
        {"group_0": scheme("naive-quantized", num_bits=8, type="int", symmetric=False, strategy="tensor")}), 1
    yield compressed(
        "ct-float-channel", 13, {"group_0": scheme("float-quantized", inputs=dynamic_float, type="float", **channel8)}), 1
    yield compressed(
        "ct-float-tensor-static", 14,
        {"group_0": scheme("float-quantized", inputs=static_float, num_bits=8, type="float", symmetric=True, strategy="tensor")},
        static_inputs=True), 1
    yield compressed(
        "ct-float-block", 15,
        {"group_0": scheme(
            "float-quantized", num_bits=8, type="float", symmetric=True, strategy="block", block_structure=[48, 40],
            inputs={**dynamic_float, "strategy": "group", "group_size": 40})}), 1
    yield compressed(
        "ct-mixed", 16,
        {"group_0": scheme("naive-quantized", ["re:.*mlp.*"], type="float", **channel8),
         "group_1": scheme("pack-quantized", ["re:.*self_attn.*"], **int4)},
        form="mixed-precision"), 1

    yield fp8_blocks("fp8-block", 17, block=[32, 64], scale_type=torch.bfloat16), 2
    yield fp8_blocks("fp8-block-128-cut", 18, block=[128, 128], intermediate=160), 1
    yield fp8_tensors("fp8-tensor", 19), 1
    yield fbgemm("fbgemm-fp8", 20), 1


# What transformers reads otherwise, or not without an accelerator.
NOT_OPENED = {
    "gptq-v2-4bit-g32": "optimum does not know dynamic, and wants g_idx",
    "fp8-block-128-cut": "it takes the cut blocks for blocks of 80",
    "fp8-tensor": "it calls the scale weight_scale_inv",
    "fbgemm-fp8": "it needs fbgemm-gpu",
    "ct-mixed": "it dequantizes all with one group's format",
}


def open_with_transformers(folder):
    with open(os.path.join(folder, "config.json")) as file:
        method = json.load(file)["quantization_config"]["quant_method"]
    more = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if method == "compressed-tensors" else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **more).eval()
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float()


def main():
    out = sys.argv[1]
    os.makedirs(os.path.join(out, "references"))
    index = {"tokens": TOKENS, "checkpoints": []}
    logits = {}
    for checkpoint, shards in checkpoints():
        index["checkpoints"].append(checkpoint.write(out, shards))
        logits[checkpoint.name] = [checkpoint.logits(), checkpoint.logits(rounded=True)]
    write_json(os.path.join(out, "index.json"), index, depth=4)
    write_json(os.path.join(out, "changes.json"), changes())
    failed = False
    for entry in index["checkpoints"]:
        name = entry["folder"]
        if name in NOT_OPENED:
            print(f"{name}: transformers is not asked: {NOT_OPENED[name]}")
            continue
        theirs = open_with_transformers(os.path.join(out, name))
        exact, rounded = ((theirs - ours).abs().max().item() for ours in logits[name])
        print(f"{name}: logits of transformers' own loader differ by {exact:.1e}, of rounded weights by {rounded:.1e}")
        failed = failed or not min(exact, rounded) < 1e-4
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

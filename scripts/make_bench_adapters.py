#!/usr/bin/env python3
"""Random PEFT adapters for speed runs: make_bench_adapters.py MODEL OUT COUNT RANK[,RANK…] [--modules q_proj,v_proj] [--layers N]

a0000, a0001, … take the ranks in turn, on all seven linears of all layers unless said, in bf16. Needs nothing but Python and
is as fast as the disk: every tensor is a piece, from a place of its own, of a few megabytes of random numbers.
"""
import argparse, functools, json, math, os, random, struct

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", help="a folder with the base's config.json")
parser.add_argument("out")
parser.add_argument("count", type=int)
parser.add_argument("ranks")
parser.add_argument("--modules", help="only these, by the ends of their names, with commas")
parser.add_argument("--layers", type=int, help="only the first so many layers")
arguments = parser.parse_args()

config = json.load(open(os.path.join(arguments.model, "config.json")))
hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
head = config.get("head_dim") or hidden // heads
queries, keys = heads * head, config["num_key_value_heads"] * head
shapes = {
    "self_attn.q_proj": (hidden, queries), "self_attn.k_proj": (hidden, keys), "self_attn.v_proj": (hidden, keys),
    "self_attn.o_proj": (queries, hidden), "mlp.gate_proj": (hidden, inner), "mlp.up_proj": (hidden, inner),
    "mlp.down_proj": (inner, hidden),
}
if arguments.modules: shapes = {n: s for n, s in shapes.items() if n.split(".")[1] in arguments.modules.split(",")}
layers = min(arguments.layers or config["num_hidden_layers"], config["num_hidden_layers"])
ranks = [int(r) for r in arguments.ranks.split(",")]
NUMBERS = max(1 << 22, 2 * max(ranks) * max(max(s) for s in shapes.values()))


@functools.cache
def numbers(upper):
    """Random bf16 numbers of both signs whose upper bytes are this one: two octaves."""
    rng, data = random.Random(upper), bytearray(2 * NUMBERS)
    data[0::2], data[1::2] = rng.randbytes(NUMBERS), rng.randbytes(NUMBERS).translate(bytes(upper | byte & 0x80 for byte in range(256)))
    return memoryview(bytes(data))


def upper(size): return round((math.log2(size) + 126) / 2)


def write(folder, rank, rng):
    header, pieces, end = {}, [], 0
    for layer in range(layers):
        for name, (inputs, outputs) in shapes.items():
            for half, shape, size in (("A", [rank, inputs], inputs**-0.5), ("B", [outputs, rank], 1 / 50)):
                count = shape[0] * shape[1]
                start = 2 * rng.randrange(NUMBERS - count)
                pieces.append(numbers(upper(size))[start:start + 2 * count])
                header[f"base_model.model.model.layers.{layer}.{name}.lora_{half}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + 2 * count]}
                end += 2 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for piece in pieces: file.write(piece)
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "bias": "none", "target_modules": [n.split(".")[1] for n in shapes]}
    if layers < config["num_hidden_layers"]: settings["layers_to_transform"] = list(range(layers))
    with open(os.path.join(folder, "adapter_config.json"), "w") as file: json.dump(settings, file)


for index in range(arguments.count):
    write(os.path.join(arguments.out, f"a{index:04d}"), ranks[index % len(ranks)], random.Random(index))

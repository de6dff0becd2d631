#!/usr/bin/env python3
"""Makes the goldens of mixes: what peft computes when it adds adapters of the conformance suite up.

    scripts/make_mix_goldens.py Tests/ConformanceTests/Goldens

Run it after make_conformance.py, with the same packages. Each mix is peft's add_weighted_adapter with
combination_type "cat", in 32-bit floats. Writes mixes.json, and mixes.safetensors for each family.
"""
import json, sys

import torch
from make_conformance import FAMILIES, load, logits
from peft import PeftModel
from safetensors.torch import save_file

MIXES = {
    "two": {"plain": 0.7, "all-linear": 0.4},
    "swapped-scales": {"plain": 0.4, "all-linear": 0.7},
    "three": {"rank-1": 1.0, "odd-rank": -0.5, "rslora": 0.25},
    "other-modules": {"only-key": 1.5, "only-down": 0.5, "only-gate": 1.0},
    "wide": {"rank-over-lane": 0.3, "odd-rank": 0.3, "float-alpha": 0.3},
    "patterns": {"alpha-pattern": 0.5, "one-layer": 1.0},
    "number-types": {"bfloat16": 0.5, "mixed-dtypes": 0.5},
    "one": {"all-linear": 0.3},
    "head": {"head": 0.6, "plain": 0.6},
}


def main(output):
    summary = {}
    for family, (kind, _) in FAMILIES.items():
        known = json.load(open(f"{output}/cases.json"))["families"][family]
        base, expected = load(kind, f"{output}/{family}/model"), {}
        plain = logits(base)
        for name, parts in MIXES.items():
            if any(part not in known for part in parts): continue
            model = load(kind, f"{output}/{family}/model")
            paths, names = [f"{output}/{family}/{part}" for part in parts], [f"part{k}" for k in range(len(parts))]
            model = PeftModel.from_pretrained(model, paths[0], adapter_name=names[0])
            for path, part in zip(paths[1:], names[1:]): model.load_adapter(path, adapter_name=part)
            model.add_weighted_adapter(names, list(parts.values()), "mix", combination_type="cat")
            model.set_adapter("mix")
            expected[name] = logits(model.eval())
            assert (expected[name] - plain).abs().max() > 1e-2, name
            summary.setdefault(family, {})[name] = parts
        save_file(expected, f"{output}/{family}/mixes.safetensors")
        print(family, len(expected), "mixes")
    json.dump(summary, open(f"{output}/mixes.json", "w"), indent=1)


if __name__ == "__main__":
    main(sys.argv[1])

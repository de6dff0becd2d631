#!/usr/bin/env python3
"""Makes Tests/ModelFilesTests/Goldens/types.gguf: a tensor of every type that Martlet reads, and beside each the values
that the gguf package decodes from it.

    python3 scripts/make_gguf_goldens.py        (needs scripts/requirements-reference.txt)
"""
import os

import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFWriter
from gguf.quants import dequantize, quantize

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS, COLUMNS = 2, 512
# Bytes of a 256-value block and where its 16-bit float scales lie.
BLOCKS = {Type.Q4_K: (144, (0, 2)), Type.Q5_K: (176, (0, 2)), Type.Q6_K: (210, (208,))}

rng = np.random.default_rng(7)
path = os.path.join(ROOT, "Tests/ModelFilesTests/Goldens/types.gguf")
os.makedirs(os.path.dirname(path), exist_ok=True)
writer = GGUFWriter(path, "none")
for type in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, *BLOCKS):
    if type in BLOCKS:
        # gguf quantizes no K types: any bytes are valid ones, as long as the scales are finite.
        size, scales = BLOCKS[type]
        stored = rng.integers(0, 256, (ROWS, COLUMNS // 256, size), dtype=np.uint8)
        for at in scales:
            stored[..., at : at + 2] = rng.normal(0, 0.1, (ROWS, COLUMNS // 256, 1)).astype(np.float16).view(np.uint8)
        stored = stored.reshape(ROWS, -1)
    else:
        stored = quantize(rng.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32), type)
    writer.add_tensor(type.name, stored, raw_dtype=type)
    writer.add_tensor(type.name + ".expected", dequantize(stored, type).astype(np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

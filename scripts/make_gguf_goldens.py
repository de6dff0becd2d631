#!/usr/bin/env python3
"""Makes Tests/ModelFilesTests/Goldens/types.gguf: a tensor of every type that Martlet reads, and beside each the values
that the gguf package decodes from it.

    python3 scripts/make_gguf_goldens.py        (needs scripts/requirements-reference.txt)
"""
import os

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFWriter
from gguf.quants import dequantize, quantize

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS, COLUMNS = 2, 512
# Where the 16-bit float scales of a block lie.
BLOCKS = {
    Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,),
    Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.IQ4_NL: (0,), Type.IQ4_XS: (0,),
}

rng = np.random.default_rng(7)
path = os.path.join(ROOT, "Tests/ModelFilesTests/Goldens/types.gguf")
os.makedirs(os.path.dirname(path), exist_ok=True)
writer = GGUFWriter(path, "none")
for type in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, *BLOCKS):
    if type in BLOCKS:
        # gguf does not quantize to these: any bytes are valid ones, as long as the scales are finite.
        values, size = GGML_QUANT_SIZES[type]
        stored = rng.integers(0, 256, (ROWS, COLUMNS // values, size), dtype=np.uint8)
        for at in BLOCKS[type]:
            stored[..., at : at + 2] = rng.normal(0, 0.1, (ROWS, COLUMNS // values, 1)).astype(np.float16).view(np.uint8)
        stored = stored.reshape(ROWS, -1)
    else:
        stored = quantize(rng.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32), type)
    writer.add_tensor(type.name, stored, raw_dtype=type)
    writer.add_tensor(type.name + ".expected", dequantize(stored, type).astype(np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

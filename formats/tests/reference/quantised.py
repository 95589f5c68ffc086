"""Makes quantised.gguf: random blocks of every encoding, each with the numbers that the `gguf` package decodes them to.

pip install gguf numpy; python3 quantised.py
"""

from pathlib import Path

import gguf
import numpy as np

ENCODINGS = ["F32", "F16", "BF16", "F64", "Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"]
# Where binary16 scales lie in a block.
SCALES = {"Q8_0": [0], "Q5_0": [0], "Q5_1": [0, 2], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
ROWS = 3

random = np.random.default_rng(5)
writer = gguf.GGUFWriter(str(Path(__file__).parent / "quantised.gguf"), "vectors")
writer.add_uint8("a.u8", 200)
writer.add_int8("a.i8", -3)
writer.add_uint16("a.u16", 60000)
writer.add_int16("a.i16", -30000)
writer.add_uint32("a.u32", 4_000_000_000)
writer.add_int32("a.i32", -2_000_000_000)
writer.add_uint64("a.u64", 1 << 62)
writer.add_int64("a.i64", -(1 << 62))
writer.add_float32("a.f32", 0.1)
writer.add_float64("a.f64", 0.1)
writer.add_bool("a.bool", True)
writer.add_string("a.text", "grüße")
writer.add_array("a.texts", ["a", "", "grüße"])
writer.add_array("a.integers", [1, -2, 3])
writer.add_array("a.floats", [0.5, -1.5])
writer.add_array("a.booleans", [True, False])

for name in ENCODINGS:
    kind = gguf.GGMLQuantizationType[name]
    length, size = gguf.GGML_QUANT_SIZES[kind]
    if length == 1:
        numbers = random.normal(size=(ROWS, 8))
        dtype = {"F32": np.float32, "F16": np.float16, "F64": np.float64}.get(name)
        if dtype is None:
            data = gguf.quantize(numbers.astype(np.float32), kind)
            decoded = gguf.dequantize(data, kind)
        else:
            data = numbers.astype(dtype)
            decoded = data.astype(np.float32)
    else:
        data = random.integers(0, 256, size=(ROWS, size), dtype=np.uint8)
        for at in SCALES[name]:
            scales = random.normal(size=(ROWS, 1)).astype(np.float16)
            data[:, at : at + 2] = scales.view(np.uint8)
        decoded = gguf.dequantize(data, kind)
    raw = None if name in ("F32", "F16", "F64") else kind
    writer.add_tensor(name, data, raw_dtype=raw)
    writer.add_tensor(f"{name}.decoded", decoded.astype(np.float32))

writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

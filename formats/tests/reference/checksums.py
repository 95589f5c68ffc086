"""Prints a checksum for each encoding of a GGUF file, over all its numbers as the `gguf` package decodes them.

pip install gguf numpy; python3 checksums.py FILE.gguf
"""

import sys

import gguf
import numpy as np

sums = {}
for tensor in gguf.GGUFReader(sys.argv[1]).tensors:
    bits = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(-1).view(np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        weights = np.arange(bits.size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        name = tensor.tensor_type.name
        sums[name] = (sums.get(name, 0) * 31 + int(np.sum(bits * weights, dtype=np.uint64))) % 2**64
for name, value in sums.items():
    print(f'("{name}", {value:#018x}),')

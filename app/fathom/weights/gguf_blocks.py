"""The weights of a GGUF tensor as MLX keeps them: packed groups of 32 where that is exact, plain floats elsewhere.

GGUF's Q4_0, Q4_1 and Q8_0 are blocks of 32 weights with a float16 scale (and minimum): x = d * q + m. MLX's affine
quantisation with groups of 32 is x = scale * q + bias, so the same bits serve. All other kinds become float16 (float32
for what is float32 or bfloat16). Knows no model and no file layout beyond one tensor's bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

F32, F16, Q4_0, Q4_1, Q8_0, BF16 = 0, 1, 2, 3, 8, 30
GROUP = 32
BITS = {Q4_0: 4, Q4_1: 4, Q8_0: 8}
"""ggml type -> bits of MLX's packed form of it."""

Arrays = dict[str, npt.NDArray[Any]]


def packed(data: npt.NDArray[np.uint8], kind: int, rows: int) -> Arrays:
    """``weight`` (rows, columns * bits / 32) uint32, ``scales`` and ``biases`` (rows, columns / 32) float16.

    ``kind`` is one of ``BITS``. Dequantised they are bit for bit what ggml computes in float32, except that the bias of
    Q4_0 and Q8_0 (-8 and -128 times the scale) must be within float16: above a scale of 511 it raises OverflowError.
    """
    if kind == Q8_0:
        blocks = data.reshape(rows, -1, 34)
        scales = _float16(blocks[..., :2])
        quants = blocks[..., 2:] ^ np.uint8(0x80)  # int8 + 128
        biases = scales.astype(np.float32) * -128
    else:
        size = {Q4_0: 18, Q4_1: 20}[kind]
        blocks = data.reshape(rows, -1, size)
        scales = _float16(blocks[..., :2])
        nibbles = blocks[..., size - 16 :]  # byte i: weight i below, weight i + 16 above
        values = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1)
        quants = values[..., 0::2] | values[..., 1::2] << 4
        biases = scales.astype(np.float32) * -8 if kind == Q4_0 else _float16(blocks[..., 2:4]).astype(np.float32)
    small = biases.astype(np.float16)
    if not np.isfinite(small).all():
        raise OverflowError("a scale of the tensor is beyond float16")
    weight = np.ascontiguousarray(quants).reshape(rows, -1).view("<u4")
    return {"weight": weight, "scales": scales, "biases": small}


def floats(data: npt.NDArray[np.uint8], kind: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The tensor in plain floats, ``shape`` outermost dimension first. Raises NotImplementedError for unknown kinds."""
    if kind == F32:
        return data.view("<f4").reshape(shape)
    if kind == F16:
        return data.view("<f2").reshape(shape)
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    values: npt.NDArray[np.float32] = dequantize(data, GGMLQuantizationType(kind)).reshape(shape)
    return values if kind == BF16 else values.astype(np.float16)


def _float16(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
    return np.ascontiguousarray(data).view("<f2")[..., 0]

"""The operators that are known, and of which of them not every use is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from export.onnx_tensorflow import (
    ops_control,
    ops_convolution,
    ops_create,
    ops_index,
    ops_math,
    ops_neural,
    ops_pool,
    ops_quantize,
    ops_recurrent,
    ops_reduce,
    ops_resize,
    ops_shape,
)
from export.onnx_tensorflow.node import Table

OPS: Table = {
    **ops_control.OPS,
    **ops_convolution.OPS,
    **ops_create.OPS,
    **ops_index.OPS,
    **ops_math.OPS,
    **ops_neural.OPS,
    **ops_pool.OPS,
    **ops_quantize.OPS,
    **ops_recurrent.OPS,
    **ops_reduce.OPS,
    **ops_resize.OPS,
    **ops_shape.OPS,
}
# operator -> why a node of it cannot be imported, or None
LIMITS: Mapping[str, Callable[[Any], str | None]] = {
    "BatchNormalization": ops_neural.batch_normalization_limit,
    "Cast": ops_math.cast_limit,
    "Constant": ops_create.constant_limit,
    "DequantizeLinear": ops_quantize.block_limit,
    "QuantizeLinear": ops_quantize.block_limit,
    "Resize": ops_resize.resize_limit,
    "Scan": ops_control.scan_limit,
    "Unique": ops_index.unique_limit,
}

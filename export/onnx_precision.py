"""ONNX in less precision, by ONNX Runtime's own tools: float16 inside, int8 weights with dynamic activation scales."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import onnx

from contract.config import Model
from contract.golden import Example
from export.refused import quoting

logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises at every call what it is then given


def to_fp16(model: Model, examples: list[Example], path: Path, source: Path) -> str:
    """Weights and arithmetic in float16; inputs and outputs keep their dtypes, so that the signature stays the same."""
    with quoting("onnxruntime.transformers.float16"):
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel

        converted = OnnxModel(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True))
        converted.topological_sort()  # the converter appends its casts, wherever they are needed
    onnx.save(converted.model, str(path))
    return "onnxruntime.transformers.float16.convert_float_to_float16(keep_io_types=True)"


def to_int8(model: Model, examples: list[Example], path: Path, source: Path) -> str:
    """Weights of matrix products and embeddings in int8, activations scaled as they come."""
    with quoting("onnxruntime.quantization"), tempfile.TemporaryDirectory() as folder:
        from onnxruntime.quantization import quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_dynamic(prepared, path)
    return "onnxruntime.quantization.quantize_dynamic"

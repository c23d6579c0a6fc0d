"""The tables of this stage: who answers for a framework, who exports, who opens an artifact to verify it."""

from __future__ import annotations

# framework -> (model) -> the trained model's own answers
ORACLES = {
    "pytorch": "export.from_pytorch:answers",
    "keras": "export.from_keras:answers",
}
# framework/format -> exporter
EXPORTERS = {
    "pytorch/torchscript": "export.from_pytorch:to_torchscript",
    "pytorch/onnx": "export.from_pytorch:to_onnx",
    "keras/savedmodel": "export.from_keras:to_savedmodel",
    "keras/onnx": "export.from_keras:to_onnx",
}
# format -> who opens the artifact as a serving engine would
RUNTIMES = {
    "torchscript": "export.runtime_torchscript:open_artifact",
    "savedmodel": "export.runtime_savedmodel:open_artifact",
    "onnx": "export.runtime_onnx:open_artifact",
}
# format -> name of the artifact beside the manifest
FILES = {
    "torchscript": "model.pt",
    "savedmodel": "model.savedmodel",
    "onnx": "model.onnx",
}
# packages whose versions decide what an export looks like
PACKAGES = {
    "pytorch/torchscript": ["torch"],
    "pytorch/onnx": ["torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu"],
    "keras/savedmodel": ["tensorflow", "keras"],
    "keras/onnx": ["tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "onnxruntime-gpu"],
}

"""ONNX into TensorFlow: the graph as it is, every dynamic axis dynamic. ``import_graph`` is the door."""

from export.onnx_tensorflow.errors import UnsupportedOperators
from export.onnx_tensorflow.graph import OnnxModule, Port, import_graph
from export.onnx_tensorflow.ops import OPS

__all__ = ["OPS", "OnnxModule", "Port", "UnsupportedOperators", "import_graph"]

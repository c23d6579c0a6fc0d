"""The nodes of an ONNX graph, those of its loops and branches too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx


def nodes(graph: Any) -> Iterator[Any]:
    """Every node of a GraphProto and of the bodies in its nodes' attributes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)

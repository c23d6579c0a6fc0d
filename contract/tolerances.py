"""How close is close enough, where models.toml does not say: by what precision the format gives up, else by dtype.

Between two runtimes in single precision the order of additions differs; half precision has 11 bits, int8 has 8.
For int8, the decisions count beside the values: the scale of its activations spans the whole batch.
"""

from __future__ import annotations

from contract.compare import Tolerance

BY_DTYPE = {
    "float64": Tolerance(1e-6, 1e-5),
    "float32": Tolerance(1e-4, 1e-3),
    "float16": Tolerance(1e-2, 1e-2),
}
BY_PRECISION = {
    "onnx-fp16": Tolerance(1e-2, 1e-2),
    "onnx-int8": Tolerance(0.25, 0.1, agreement=0.99),
}


def default_tolerance(form: str, outputs: list[str]) -> tuple[Tolerance, bool]:
    """The tolerance of a format whose outputs have these dtypes, and whether it keeps the model's full precision."""
    if form in BY_PRECISION:
        return BY_PRECISION[form], False
    floats = [BY_DTYPE[dtype] for dtype in outputs if dtype in BY_DTYPE]
    return max(floats, key=lambda tolerance: tolerance.atol, default=BY_DTYPE["float32"]), True

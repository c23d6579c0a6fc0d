"""Tensors as the border files describe them: a name, a dtype and dims, some of them named and dynamic.

One table relates the project's dtype names to numpy, to Triton's protocol and to TensorFlow's enum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Array = NDArray[Any]
Tensors = dict[str, Array]


@dataclass(frozen=True)
class Dtype:
    """One row of the dtype table: the numpy name, Triton's wire name, TensorFlow's DataType number."""

    numpy: str
    triton: str
    tensorflow: int


DTYPES: dict[str, Dtype] = {
    "bool": Dtype("bool", "BOOL", 10),
    "uint8": Dtype("uint8", "UINT8", 4),
    "int8": Dtype("int8", "INT8", 6),
    "int16": Dtype("int16", "INT16", 5),
    "int32": Dtype("int32", "INT32", 3),
    "int64": Dtype("int64", "INT64", 9),
    "float16": Dtype("float16", "FP16", 19),
    "float32": Dtype("float32", "FP32", 1),
    "float64": Dtype("float64", "FP64", 2),
    "string": Dtype("object", "BYTES", 7),
}
BY_TRITON = {row.triton: name for name, row in DTYPES.items()}
BY_TENSORFLOW = {row.tensorflow: name for name, row in DTYPES.items()}


def dtype_of(array: Array) -> str:
    """Return the project's name for an array's dtype; object arrays hold byte strings."""
    return "string" if array.dtype == object else array.dtype.name


def _known_dtype(name: str) -> str:
    if name not in DTYPES:
        raise ValueError(f"unknown dtype '{name}': one of {', '.join(DTYPES)}")
    return name


# As exporters name tensors: `tokens`, `input.1`, `x:0`. Never a path, never a flag.
TENSOR_NAME = r"^[A-Za-z_][A-Za-z0-9_.:]*$"
Dim = Annotated[int, Field(ge=1, strict=True)] | Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class TensorSpec(BaseModel):
    """One input or output. ``dims`` holds sizes, or names for dynamic axes; the first is the batch axis, if any is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=TENSOR_NAME, description="as in the model's signature")]
    dtype: Annotated[str, AfterValidator(_known_dtype), Field(description="a dtype of the table")]
    dims: list[Dim] = Field(description="a size, or a name for a dynamic axis; empty for a scalar")
    range: Annotated[
        tuple[float, float] | None,
        Field(description="[low, high) of made-up example values, where no examples file is given"),
    ] = None

    @model_validator(mode="after")
    def _consistent(self) -> TensorSpec:
        if self.range and not (math.isfinite(self.range[1] - self.range[0]) and self.range[0] < self.range[1]):
            raise ValueError(f"range of '{self.name}' is {list(self.range)}; it is [low, high) with low below high")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """The dims with -1 for every dynamic axis."""
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.dims)

    def mismatch(self, array: Array) -> str | None:
        """Return why ``array`` is not a value of this spec, or None."""
        if dtype_of(array) != self.dtype:
            return f"dtype of '{self.name}' is {dtype_of(array)}, expected {self.dtype}"
        if array.ndim != len(self.dims) or any(
            size not in (-1, actual) for size, actual in zip(self.shape, array.shape, strict=True)
        ):
            return f"shape of '{self.name}' is {list(array.shape)}, expected {self.dims}"
        return None


def pack_strings(array: Array) -> bytes:
    """Encode an array of byte strings as ``<u32 length><bytes>`` per element, little-endian, row-major."""
    return b"".join(len(item).to_bytes(4, "little") + item for item in array.ravel())


def unpack_strings(data: bytes, shape: tuple[int, ...]) -> Array:
    """Decode what `pack_strings` wrote. Raises ValueError when the lengths do not add up."""
    _check_shape(shape)
    count = math.prod(shape)
    if 4 * count > len(data):
        raise ValueError(f"{count} strings do not fit into {len(data)} bytes")
    items, offset = np.empty(count, dtype=object), 0
    for index in range(count):
        size = int.from_bytes(data[offset : offset + 4], "little")
        offset += 4
        if offset + size > len(data):
            raise ValueError(f"string {index} of {count} reaches beyond the {len(data)} bytes that are there")
        items[index] = data[offset : offset + size]
        offset += size
    if offset != len(data):
        raise ValueError(f"{len(data) - offset} bytes are left over after {count} strings")
    return items.reshape(shape)


def with_row_axis(array: Array) -> Array:
    """A scalar per row, [n], as Triton takes it: [n, 1] (config.pbtxt knows no empty dims)."""
    return array.reshape(-1, 1) if array.ndim == 1 else array


def without_row_axis(array: Array, spec: TensorSpec | None) -> Array:
    """The reverse of `with_row_axis`, for outputs that are declared as a scalar per row."""
    return array.reshape(-1) if spec is not None and len(spec.dims) == 1 and array.shape[1:] == (1,) else array


def _check_shape(shape: tuple[int, ...]) -> None:
    if any(size < 0 for size in shape):
        raise ValueError(f"a shape of {list(shape)} is not the shape of a value")


def to_bytes(array: Array) -> bytes:
    """Encode as Triton's binary extension does: little-endian, row-major, strings length-prefixed."""
    if array.dtype == object:
        return pack_strings(array)
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def from_bytes(data: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    """Decode what `to_bytes` wrote."""
    _check_shape(shape)
    if dtype == "string":
        return unpack_strings(data, shape)
    return np.frombuffer(data, dtype=np.dtype(DTYPES[dtype].numpy).newbyteorder("<")).reshape(shape)

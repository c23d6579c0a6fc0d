"""Single operators as the importer is tested with them: inputs at two sizes, attributes, opset. Needs numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contract.tensors import Array

SIZES = [{"n": 2, "m": 5, "k": 4}, {"n": 3, "m": 7, "k": 1}]  # named axes stay dynamic in the model
Axis = int | str


@dataclass(frozen=True)
class Input:
    """Random values of a shape, or a constant that is an initializer."""

    shape: tuple[Axis, ...] = ()
    dtype: str = "float32"
    low: float = -2.0
    high: float = 2.0
    constant: Array | None = None

    def make(self, sizes: dict[str, int], random: np.random.Generator) -> Array:
        shape = [axis if isinstance(axis, int) else sizes[axis] for axis in self.shape]
        if self.dtype == "bool":
            return np.asarray(random.random(shape) < 0.5)
        if self.dtype.startswith("float"):
            return np.asarray(random.uniform(self.low, self.high, shape), self.dtype)
        return np.asarray(random.integers(int(self.low), int(self.high), shape), self.dtype)


@dataclass(frozen=True)
class Case:
    name: str
    op: str
    inputs: list[Input | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    reference: str = "onnxruntime"  # or "onnx", where ONNX Runtime lacks the kernel


def real(*shape: Axis, low: float = -2.0, high: float = 2.0, dtype: str = "float32") -> Input:
    return Input(shape, dtype, low, high)


def whole(*shape: Axis, low: int = -9, high: int = 9, dtype: str = "int64") -> Input:
    return Input(shape, dtype, low, high)


def flags(*shape: Axis) -> Input:
    return Input(shape, "bool")


def fixed(value: Any, dtype: Any = np.int64) -> Input:
    return Input(constant=np.asarray(value, dtype))


CASES: list[Case] = []


def case(op: str, *inputs: Input | None, opset: int = 17, outputs: int = 1, tag: str = "", **attributes: Any) -> None:
    reference = attributes.pop("reference", "onnxruntime")
    name = f"{op} {tag}".strip()
    assert all(known.name != name for known in CASES), name
    CASES.append(Case(name, op, list(inputs), attributes, opset, outputs, reference))


X = real("n", 3, "m")
UNARY = """
    Abs Asinh Atan Ceil Celu Cos Cosh Elu Erf Exp Floor HardSigmoid HardSwish Hardmax Identity IsNaN LeakyRelu
    LogSoftmax Mish Neg NonZero Relu Round Selu Shape Shrink Sigmoid Sign Sin Sinh Size Softmax Softplus Softsign
    Tanh ThresholdedRelu
"""
for op in UNARY.split():
    case(op, X, opset=18)
for op in ("Reciprocal", "Tan"):
    case(op, real("n", 3, "m", low=0.3, high=1.2))
for op in ("Acos", "Asin", "Atanh"):
    case(op, real("n", "m", low=-0.9, high=0.9))
for op in ("Log", "Sqrt", "Acosh"):
    case(op, real("n", "m", low=1.1, high=9))
for op in ("Add", "Sub", "Mul", "Div", "Pow"):
    case(op, real("n", 3, "m", low=0.5), real(3, 1, low=0.5))
for op in ("Add", "Sub", "Mul", "Div", "Mod"):
    case(op, whole("n", 3, "m"), whole("m", low=1, high=5), tag="of integers")
for op in ("Max", "Min", "Sum", "Mean"):
    case(op, real("n", 3, "m"), real("m"), real(3, 1))
for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
    case(op, whole("n", "m", low=0, high=3), whole("n", 1, low=0, high=3))
for op in ("And", "Or", "Xor"):
    case(op, flags("n", "m"), flags("m"))
case("Not", flags("n", "m"))
for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    case(op, whole("n", "m"), whole("m"), opset=18)
case("BitwiseNot", whole("n", "m"), opset=18)
case("BitShift", whole("n", "m", low=0, dtype="uint32"), whole("m", low=0, high=4, dtype="uint32"), direction="LEFT")
case("BitShift", whole("n", low=0, dtype="uint8"), whole("n", low=0, dtype="uint8"), direction="RIGHT", tag="right")
case("Div", whole("n", "m", dtype="int32"), fixed(4, np.int32), tag="truncates toward zero")
case("Mod", real("n", "m"), real("m", low=0.5), fmod=1, tag="fmod")
case("Mod", whole("n", "m"), fixed(-4), fmod=1, tag="fmod of integers")
case("Pow", real("n", "m"), fixed(3), tag="to an integer")
case("Pow", whole("n", "m", dtype="int32"), fixed(2.0, np.float32), tag="of integers to a float")
case("Clip", X, fixed(-0.5, np.float32), fixed(0.7, np.float32))
case("Clip", X, None, fixed(0.7, np.float32), tag="from above")
case("Clip", X, opset=10, min=-0.5, max=0.5, tag="by attributes")
case("IsInf", real("n", "m"), detect_negative=0)
case("Where", flags("n", 1, "m"), X, real(3, 1))
case("Cast", real("n", "m", low=-5, high=5), to=7)
case("Cast", real("n", "m"), to=9, tag="to bool")
case("Cast", flags("n", "m"), to=11, tag="from bool")
case("CastLike", real("n", "m", low=-5, high=5), whole(1), opset=19)
case("Gelu", X, opset=20)
case("Gelu", X, opset=20, approximate="tanh", tag="by tanh")
case("Swish", X, opset=24, alpha=1.5, reference="onnx")
case("PRelu", X, real(3, 1))
case("MatMul", real("n", 3, 4), real(4, "m"))
case("MatMul", real("n", 2, 3, 4), real("n", 1, 4, "m"), tag="of stacks that broadcast")
case("MatMul", real(4), real("n", 4, "m"), tag="of a vector on the left")
case("MatMul", real("n", 3, 4), real(4), tag="of a vector on the right")
case("MatMul", real("m"), real("m"), tag="of vectors")
case("MatMul", whole("n", 4, dtype="int32"), whole(4, "m", dtype="int32"), tag="of integers")
case("Gemm", real("n", 4), real("m", 4), real("m"), transB=1)
case("Gemm", real(4, "n"), real(4, "m"), real("n", 1), transA=1, alpha=0.5, beta=2.0, tag="scaled")
case("Gemm", real("n", 4), real(4, "m"), tag="without bias")
case("Einsum", real("n", 3, "m"), real("n", "m", 4), equation="bij, bjk -> bik")
case("Einsum", real("n", "m", 3), equation="...ij->...ji", tag="with an ellipsis")
REDUCTIONS = "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare"
for op in REDUCTIONS.split():
    case(op, real("n", 3, "m", low=0.5), axes=[1, -1], keepdims=0)
    case(op, real("n", 3, "m", low=0.5), fixed([-2]), opset=18, tag="with axes as input")
    case(op, real("n", 3, "m", low=0.5), opset=18, tag="of everything")
case("ReduceSum", X, fixed([0, 2]), keepdims=0)
case("ReduceSum", X, opset=11, axes=[1], tag="with axes as attribute")
case("ReduceSum", X, fixed([]), noop_with_empty_axes=1, tag="of nothing")
case("ReduceMean", whole("n", "m", dtype="int32"), axes=[1], tag="of integers")
for op in ("ArgMax", "ArgMin"):
    case(op, X, axis=-1)
    case(
        op, whole("n", "m", low=0, high=2, dtype="int32"), axis=1, keepdims=0, select_last_index=1, tag="last of equals"
    )
case("CumSum", X, fixed(-1))
case("CumSum", X, fixed(0), exclusive=1, reverse=1, tag="from the end, exclusive")
case("CumProd", X, fixed(1), opset=26, reference="onnx")
for op in ("Softmax", "LogSoftmax", "Hardmax"):
    case(op, real("n", 3, "m"), opset=11, tag="flattened")
    case(op, real("n", 3, "m"), opset=13, axis=1, tag="of an inner axis")
case("TopK", X, fixed([2]), outputs=2)
case("TopK", X, fixed([2]), outputs=2, axis=1, largest=0, tag="smallest")
case("TopK", whole("n", 9), fixed([4]), outputs=2, largest=0, tag="smallest integers")
case("TopK", X, opset=9, outputs=2, k=3, axis=1, tag="by attribute")

case("Gather", X, whole("k", low=-3, high=3), axis=1)
case("Gather", X, fixed(-1), axis=2, tag="by a scalar")
case("Gather", real(50, 8), whole("n", "m", low=0, high=50), tag="as an embedding")
case("GatherElements", real("n", "m", 6), whole("n", 2, 6, low=-2, high=2), axis=1)
case("GatherND", real(2, 3, "m"), whole("n", 2, low=-2, high=2))
case("GatherND", real("n", 3, 4), whole("n", "m", 1, low=0, high=3), batch_dims=1, tag="in batches")
case("Scatter", real(3, "m"), fixed([[0, 2, -1]]), real(1, 3), opset=10, axis=1)
case("ScatterElements", real(3, "m"), fixed([[0, 2, -1]]), real(1, 3), axis=1)
for how in ("add", "mul", "max", "min"):
    case("ScatterElements", real(3, "m"), fixed([[1, 1, -4]]), real(1, 3), axis=1, reduction=how, opset=18, tag=how)
    case("ScatterND", real("m", 2), fixed([[1], [-1], [1]]), real(3, 2), reduction=how, opset=18, tag=how)
case("ScatterND", real("n", "m", 2), fixed([[0, 1], [-1, 2]]), real(2, 2))
case("Slice", X, fixed([1, -3]), fixed([3, 2**63 - 1]), fixed([1, -1]))
case("Slice", X, fixed([-1]), fixed([-(2**63)]), fixed([2]), fixed([-2]), tag="backwards")
case("Slice", X, whole(1, low=0, high=2), whole(1, low=3, high=5), fixed([2]), tag="from the input")
case("Slice", X, opset=9, starts=[1], ends=[100], axes=[1], tag="by attributes")
case("Split", real("n", 6, "m"), outputs=3, axis=1)
case("Split", real("n", 6, "m"), fixed([1, 5]), outputs=2, axis=1, tag="by sizes")
case("Split", real("n", 7, "m"), outputs=3, axis=1, opset=18, num_outputs=3, tag="unevenly")
case("Split", real("n", 6, "m"), opset=11, outputs=2, axis=1, split=[2, 4], tag="by attribute")
case("Concat", X, real("n", "k", "m"), axis=1)
case("Reshape", X, fixed([0, -1]))
case("Reshape", X, fixed([-1, 3]), tag="with an open axis")
case("Reshape", real("n", 0, "m"), fixed([0, 5]), allowzero=1, tag="to nothing")
case("Squeeze", real("n", 1, "m", 1), fixed([1, -1]))
case("Squeeze", real("n", 1, "m", 1), opset=11, axes=[1], tag="by attribute")
case("Squeeze", real(3, 1, 2, 1), tag="everywhere")
case("Unsqueeze", X, fixed([0, -1]))
case("Unsqueeze", X, opset=11, axes=[1, 3], tag="by attribute")
case("Transpose", X, perm=[2, 0, 1])
case("Transpose", X, tag="reversed")
case("Flatten", real("n", 3, "m", 2), axis=2)
case("Flatten", real("n", 3, "m"), axis=0, tag="from the start")
case("Expand", real("n", 1, "m"), fixed([4, 1]))
case("Tile", X, fixed([1, 2, 3]))
case("Pad", X, fixed([0, 1, 2, 0, 0, 3]), fixed(1.5, np.float32))
case("Pad", X, fixed([1, 2]), None, fixed([-1]), opset=18, tag="of some axes")
case("Pad", X, fixed([0, 0, 2, 0, 1, 3]), mode="reflect", tag="reflecting")
case("Pad", X, fixed([0, 0, 2, 0, 1, 9]), mode="edge", tag="at the edge")
case("Pad", X, fixed([0, 0, 2, 0, 1, 3]), mode="wrap", opset=19, tag="around")
case("Pad", X, fixed([0, -1, 2, 0, 0, -2]), tag="cropping")
case("Pad", X, opset=10, pads=[0, 1, 2, 0, 0, 3], value=0.5, tag="by attributes")
case("Shape", X, start=-2, end=3, tag="in part")
case("Constant", value=np.arange(6, dtype=np.float32).reshape(2, 3))
case("Constant", value_float=1.5, tag="float")
case("Constant", value_floats=[1.5, 2.5], tag="floats")
case("Constant", value_int=3, tag="int")
case("Constant", value_ints=[3, 4], tag="ints")
case("ConstantOfShape", fixed([2, 3]), value=np.array([7], np.int32))
case("ConstantOfShape", whole(2, low=1, high=4), tag="from the input")
case("Dropout", X, outputs=2)
case("Dropout", X, opset=10, tag="by attribute", ratio=0.3)
case("Range", whole(low=-3, high=0), whole(low=5, high=9), whole(low=2, high=4))
case("Range", fixed(0.0, np.float32), real(low=2, high=3), fixed(0.25, np.float32), tag="of floats")
case("OneHot", whole("n", "m", low=-4, high=6), fixed(4), fixed([0.5, 2], np.float32))
case("OneHot", whole("n", "m", low=0, high=6), fixed([4]), fixed([0, 1]), axis=1, tag="at an inner axis")
case("Trilu", X)
case("Trilu", X, fixed(-1), upper=0, tag="lower")
case("EyeLike", real("n", "m"), k=1, dtype=7)
case("Unique", whole("m", low=0, high=4), outputs=4)
case("Unique", whole("m", low=0, high=4), outputs=4, sorted=0, tag="in order of appearance")
case("Compress", real("n", 4, "m"), fixed([True, False, True], bool), axis=1)
case("Compress", real("n", 4), fixed([False, True, True], bool), tag="flattened")
case("DepthToSpace", real("n", 12, "m", 3), blocksize=2)
case("DepthToSpace", real("n", 12, "m", 3), blocksize=2, mode="CRD", tag="CRD")
case("SpaceToDepth", real("n", 3, 6, 4), blocksize=2)
case("ReverseSequence", real("m", 4, 2), fixed([1, 2, 3, 4]))
case("CenterCropPad", real("n", 6, "m"), fixed([4, 9]), opset=18, axes=[1, 2])

IMAGE = real("n", 4, "m", 8)
case("Conv", IMAGE, real(6, 4, 3, 3), real(6), pads=[1, 0, 2, 1])
case("Conv", IMAGE, real(6, 4, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER", tag="same upper")
case("Conv", IMAGE, real(6, 4, 3, 2), strides=[2, 3], auto_pad="SAME_LOWER", tag="same lower")
case("Conv", IMAGE, real(8, 2, 3, 3), real(8), group=2, pads=[1, 1, 1, 1], tag="in groups")
case("Conv", IMAGE, real(8, 1, 3, 3), real(8), group=4, strides=[2, 2], tag="depthwise")
case("Conv", IMAGE, real(4, 1, 3, 3), group=4, strides=[1, 2], tag="depthwise with unequal strides")
case("Conv", IMAGE, real(6, 4, 2, 2), dilations=[2, 3], strides=[2, 1], tag="dilated")
case("Conv", real("n", 4, "m"), real(6, 4, 3), real(6), pads=[1, 1], tag="of one axis")
case("Conv", real("n", 4, "m", 5, 6), real(6, 2, 2, 2, 2), group=2, dilations=[1, 2, 1], tag="of three axes")
case("ConvTranspose", IMAGE, real(4, 3, 3, 3), real(3), strides=[2, 2], pads=[1, 0, 1, 1], output_padding=[1, 1])
case("ConvTranspose", IMAGE, real(4, 2, 3, 3), group=2, dilations=[2, 1], tag="dilated, in groups")
case("ConvTranspose", real("n", 4, "m"), real(4, 3, 4), strides=[3], auto_pad="SAME_UPPER", tag="same upper")
case("ConvTranspose", real("n", 4, "m", 3, 3), real(4, 2, 2, 2, 2), strides=[2, 2, 2], tag="of three axes")
case("MaxPool", IMAGE, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
case("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, tag="rounding up")
case("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 3], tag="dilated")
case("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], outputs=2, tag="with indices")
case("MaxPool", real("n", 4, "m"), kernel_shape=[3], auto_pad="SAME_LOWER", tag="of one axis")
case("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 1])
case("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1, tag="counting the padding")
case("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, opset=19, tag="rounding up")
case("AveragePool", real("n", 4, "m", 5, 5), kernel_shape=[2, 2, 2], tag="of three axes")
case("LpPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2])
for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
    case(op, IMAGE)
case("BatchNormalization", IMAGE, real(4), real(4), real(4), real(4, low=0.5))
case("LayerNormalization", X, real("m"), real("m"), outputs=3)
case("LayerNormalization", real("n", 3, 4), real(3, 4), axis=1, tag="of two axes")
case("InstanceNormalization", IMAGE, real(4), real(4))
case("GroupNormalization", IMAGE, real(4), real(4), opset=21, num_groups=2)
case("GroupNormalization", IMAGE, real(2), real(2), opset=18, num_groups=2, tag="with a scale per group")
case("RMSNormalization", real("n", "m", 4), real(4), opset=23)
case("MeanVarianceNormalization", IMAGE)
case("LpNormalization", X, axis=1, p=1)
case("LpNormalization", X, tag="euclidean")
case("LRN", real("n", 8, "m", 3), size=3)
case("LRN", real(5, 5, "m", 3), size=4, alpha=0.1, reference="onnx", tag="of even size")
NONE = fixed([], np.float32)
case("Resize", IMAGE, NONE, fixed([1, 1, 2, 1.5], np.float32))
for mode in ("asymmetric", "align_corners", "half_pixel", "pytorch_half_pixel"):
    sizes = fixed([1, 1, 2, 1.5], np.float32)
    case("Resize", IMAGE, NONE, sizes, mode="linear", coordinate_transformation_mode=mode, tag=f"linear {mode}")
case("Resize", IMAGE, NONE, fixed([1, 1, 0.5, 2], np.float32), mode="cubic", tag="cubic")
case("Resize", real(2, 3, 4, 8), NONE, NONE, fixed([2, 3, 9, 5]), mode="linear", tag="to sizes")
case("Resize", IMAGE, fixed([1, 1, 3, 2], np.float32), opset=10, tag="of the first opset")
case("Upsample", IMAGE, fixed([1, 1, 2, 3], np.float32), opset=9)

SEQUENCE = real("m", "n", 5)
LENGTHS = Input(("n",), "int32", 1, 6)
for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
    for direction, ways in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
        weights = [real(ways, gates * 6, 5), real(ways, gates * 6, 6), real(ways, gates * 12)]
        states = [real(ways, "n", 6)] * (2 if op == "LSTM" else 1)
        shown = 1 + len(states)
        case(op, SEQUENCE, *weights, outputs=shown, hidden_size=6, direction=direction, tag=direction)
        tag = f"{direction} with lengths and states"
        case(op, SEQUENCE, *weights, LENGTHS, *states, outputs=shown, hidden_size=6, direction=direction, tag=tag)
case(
    "GRU", SEQUENCE, real(1, 18, 5), real(1, 18, 6), real(1, 36), hidden_size=6, linear_before_reset=1, tag="reset last"
)
PEEPHOLES: list[Input | None] = [None, None, None, real(1, 18)]
case("LSTM", SEQUENCE, real(1, 24, 5), real(1, 24, 6), real(1, 48), *PEEPHOLES, hidden_size=6, tag="with peepholes")
case(
    "LSTM", SEQUENCE, real(1, 24, 5), real(1, 24, 6), hidden_size=6, clip=0.5, input_forget=1, tag="clipped and coupled"
)
ACTIVATIONS: dict[str, Any] = {
    "activations": ["HardSigmoid", "Relu"],
    "activation_alpha": [0.3],
    "activation_beta": [0.4],
}
case("GRU", SEQUENCE, real(1, 18, 5), real(1, 18, 6), hidden_size=6, tag="with other activations", **ACTIVATIONS)

BYTES = whole("n", 4, "m", 8, low=0, high=255, dtype="uint8")
SCALES = fixed([0.1, 0.2, 0.3, 0.4], np.float32)
case("QuantizeLinear", real("n", 4, "m"), fixed(0.03, np.float32), fixed(7, np.uint8))
case("QuantizeLinear", real("n", 4, "m"), SCALES, fixed([1, -2, 3, 0], np.int8), axis=1, tag="per channel")
case("DequantizeLinear", BYTES, fixed(0.03, np.float32), fixed(7, np.uint8))
case("DequantizeLinear", BYTES, SCALES, fixed([1, 2, 3, 0], np.uint8), axis=1, tag="per channel")
case("DynamicQuantizeLinear", real("n", "m"), outputs=3)
case("MatMulInteger", whole("n", 4, low=0, dtype="uint8"), whole(4, "m", dtype="int8"), fixed(3, np.uint8))
case("ConvInteger", BYTES, whole(3, 4, 3, 3, low=0, dtype="uint8"), fixed(5, np.uint8), fixed(2, np.uint8))

"""Elementwise operators, casts and matrix products. ONNX Runtime's answers are the ones to give."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import dims, product, rank
from export.onnx_tensorflow.node import DTYPES, Function, Node, Table


def plain(function: Callable[..., Any]) -> Function:
    """An operator without attributes."""
    return lambda node, *inputs: function(*inputs)


def variadic(function: Callable[[Any, Any], Any]) -> Function:
    """An operator that joins any number of inputs."""
    return lambda node, *inputs: functools.reduce(function, inputs)


def signed(function: Callable[[Any], Any], unsigned: Callable[[Any], Any]) -> Function:
    """TensorFlow has no kernels for the sign of unsigned integers."""
    return lambda node, x: (unsigned if x.dtype.is_unsigned else function)(x)


def div(node: Node, x: Any, y: Any) -> Any:
    """Integers are truncated toward zero."""
    if x.dtype.is_floating or x.dtype.is_complex:
        return x / y
    return x // y if x.dtype.is_unsigned else tf.truncatediv(x, y)


def mod(node: Node, x: Any, y: Any) -> Any:
    """The sign of the divisor, or with ``fmod`` that of the dividend."""
    if not node.get("fmod", 0) or x.dtype.is_unsigned:
        return tf.math.floormod(x, y)
    if x.dtype in (tf.int8, tf.int16):
        return tf.cast(tf.truncatemod(tf.cast(x, tf.int32), tf.cast(y, tf.int32)), x.dtype)
    if x.dtype in (tf.float16, tf.bfloat16):
        return tf.cast(tf.truncatemod(tf.cast(x, tf.float32), tf.cast(y, tf.float32)), x.dtype)
    return tf.truncatemod(x, y)


def power(node: Node, x: Any, y: Any) -> Any:
    """The result has the base's dtype; integers go through float64, as in ONNX Runtime."""
    if x.dtype.is_floating and (y.dtype == x.dtype or not y.dtype.is_floating):
        return tf.pow(x, tf.cast(y, x.dtype))
    return tf.cast(tf.pow(tf.cast(x, tf.float64), tf.cast(y, tf.float64)), x.dtype)


def mean(node: Node, *inputs: Any) -> Any:
    return functools.reduce(operator.add, inputs) / len(inputs)


def clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    if node.opset < 11:
        low, high = (None if limit is None else tf.constant(limit, x.dtype) for limit in map(node.get, ("min", "max")))
    x = x if low is None else tf.maximum(x, low)
    return x if high is None else tf.minimum(x, high)


def is_inf(node: Node, x: Any) -> Any:
    negative, positive = node.get("detect_negative", 1), node.get("detect_positive", 1)
    if negative and positive:
        return tf.math.is_inf(x)
    if not negative and not positive:
        return tf.zeros_like(x, tf.bool)
    return tf.equal(x, tf.constant(float("inf" if positive else "-inf"), x.dtype))


def bit_shift(node: Node, x: Any, y: Any) -> Any:
    """Shifts by a negative number or by the width and more leave nothing but the sign."""
    width = 8 * x.dtype.size
    beyond = tf.logical_or(y < 0, y >= tf.cast(width, y.dtype))
    steps = tf.where(beyond, tf.cast(width - 1, y.dtype), y)
    if node.get("direction") == "LEFT":
        return tf.where(beyond, tf.zeros([], x.dtype), tf.bitwise.left_shift(x, steps))
    shifted = tf.bitwise.right_shift(x, steps)
    return tf.where(beyond, tf.zeros([], x.dtype), shifted) if x.dtype.is_unsigned else shifted


def where(node: Node, condition: Any, x: Any, y: Any) -> Any:
    return tf.where(condition, x, y)


def cast(node: Node, x: Any, like: Any = None) -> Any:
    return tf.cast(x, DTYPES[node.get("to")] if like is None else like.dtype)


def cast_limit(node: Any) -> str | None:
    target = node.attributes.get("to")
    return f"to the ONNX dtype {target} is not supported" if target is not None and target not in DTYPES else None


def gelu(node: Node, x: Any) -> Any:
    return tf.nn.gelu(x, approximate=node.get("approximate", "none") == "tanh")


def elu(node: Node, x: Any) -> Any:
    return tf.where(x < 0, node.get("alpha", 1.0) * tf.math.expm1(tf.minimum(x, 0)), x)


def selu(node: Node, x: Any) -> Any:
    alpha, gamma = node.get("alpha", 1.6732631921768188), node.get("gamma", 1.0507010221481323)
    return gamma * tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0)))


def celu(node: Node, x: Any) -> Any:
    alpha = node.get("alpha", 1.0)
    return tf.maximum(x, 0) + tf.minimum(alpha * tf.math.expm1(x / alpha), 0)


def leaky_relu(node: Node, x: Any) -> Any:
    return tf.where(x < 0, node.get("alpha", 0.01) * x, x)


def hard_sigmoid(node: Node, x: Any) -> Any:
    return tf.clip_by_value(node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0, 1)


def hard_swish(node: Node, x: Any) -> Any:
    return x * tf.clip_by_value(x / 6 + 0.5, 0, 1)


def swish(node: Node, x: Any) -> Any:
    return x * tf.sigmoid(node.get("alpha", 1.0) * x)


def mish(node: Node, x: Any) -> Any:
    return x * tf.tanh(tf.math.softplus(x))


def thresholded_relu(node: Node, x: Any) -> Any:
    return tf.where(x > node.get("alpha", 1.0), x, tf.zeros_like(x))


def shrink(node: Node, x: Any) -> Any:
    bias, limit = tf.cast(node.get("bias", 0.0), x.dtype), tf.cast(node.get("lambd", 0.5), x.dtype)
    return tf.where(x < -limit, x + bias, tf.where(x > limit, x - bias, tf.zeros_like(x)))


def relu(node: Node, x: Any) -> Any:
    return tf.nn.relu(x)


def prelu(node: Node, x: Any, slope: Any) -> Any:
    return tf.where(x < 0, slope * x, x)


def matmul(node: Node, x: Any, y: Any) -> Any:
    """numpy.matmul; a stack of matrices times one matrix is a single product, which is much faster."""
    small = x.dtype not in (tf.int32, tf.int64) and x.dtype.is_integer
    if small:
        return tf.cast(matmul(node, tf.cast(x, tf.int64), tf.cast(y, tf.int64)), x.dtype)
    left, right = rank(x), rank(y)
    if left == 1 or right == 1:
        lifted = matmul(node, x[tf.newaxis, :] if left == 1 else x, y[:, tf.newaxis] if right == 1 else y)
        return tf.squeeze(lifted, [axis for axis, single in ((-2, left == 1), (-1, right == 1)) if single])
    if left > 2 and right == 2:
        sizes = dims(x)
        flat = tf.matmul(tf.reshape(x, [product(sizes[:-1]), sizes[-1]]), y)
        return tf.reshape(flat, [*sizes[:-1], dims(y)[-1]])
    return tf.matmul(x, y)


def gemm(node: Node, x: Any, y: Any, bias: Any = None) -> Any:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    result = tf.matmul(x, y, transpose_a=bool(node.get("transA", 0)), transpose_b=bool(node.get("transB", 0)))
    if alpha != 1.0:
        result = tf.cast(alpha, result.dtype) * result
    if bias is None:
        return result
    return result + (bias if beta == 1.0 else tf.cast(beta, bias.dtype) * bias)


def einsum(node: Node, *inputs: Any) -> Any:
    return tf.einsum(node.get("equation"), *inputs)


OPS: Table = {
    "Abs": signed(tf.abs, tf.identity),
    "Acos": plain(tf.acos),
    "Acosh": plain(tf.acosh),
    "Add": plain(tf.add),
    "And": plain(tf.logical_and),
    "Asin": plain(tf.asin),
    "Asinh": plain(tf.asinh),
    "Atan": plain(tf.atan),
    "Atanh": plain(tf.atanh),
    "BitShift": bit_shift,
    "BitwiseAnd": plain(tf.bitwise.bitwise_and),
    "BitwiseNot": plain(tf.bitwise.invert),
    "BitwiseOr": plain(tf.bitwise.bitwise_or),
    "BitwiseXor": plain(tf.bitwise.bitwise_xor),
    "Cast": cast,
    "CastLike": cast,
    "Ceil": plain(tf.math.ceil),
    "Celu": celu,
    "Clip": clip,
    "Cos": plain(tf.cos),
    "Cosh": plain(tf.cosh),
    "Div": div,
    "Einsum": einsum,
    "Elu": elu,
    "Equal": plain(tf.equal),
    "Erf": plain(tf.math.erf),
    "Exp": plain(tf.exp),
    "Floor": plain(tf.floor),
    "Gelu": gelu,
    "Gemm": gemm,
    "Greater": plain(tf.greater),
    "GreaterOrEqual": plain(tf.greater_equal),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "IsInf": is_inf,
    "IsNaN": plain(tf.math.is_nan),
    "LeakyRelu": leaky_relu,
    "Less": plain(tf.less),
    "LessOrEqual": plain(tf.less_equal),
    "Log": plain(tf.math.log),
    "MatMul": matmul,
    "Max": variadic(tf.maximum),
    "Mean": mean,
    "Min": variadic(tf.minimum),
    "Mish": mish,
    "Mod": mod,
    "Mul": plain(tf.multiply),
    "Neg": plain(tf.negative),
    "Not": plain(tf.logical_not),
    "Or": plain(tf.logical_or),
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": plain(tf.math.reciprocal),
    "Relu": relu,
    "Round": plain(tf.round),
    "Selu": selu,
    "Shrink": shrink,
    "Sigmoid": plain(tf.sigmoid),
    "Sign": signed(tf.sign, lambda x: tf.cast(tf.not_equal(x, 0), x.dtype)),
    "Sin": plain(tf.sin),
    "Sinh": plain(tf.sinh),
    "Softplus": plain(tf.math.softplus),
    "Softsign": plain(tf.nn.softsign),
    "Sqrt": plain(tf.sqrt),
    "Sub": plain(tf.subtract),
    "Sum": variadic(tf.add),
    "Swish": swish,
    "Tan": plain(tf.tan),
    "Tanh": plain(tf.tanh),
    "ThresholdedRelu": thresholded_relu,
    "Where": where,
    "Xor": plain(tf.math.logical_xor),
}

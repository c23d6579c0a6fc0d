"""LSTM, GRU and RNN as loops over time, in which batch and length stay dynamic.

The inputs' part of the gates is one product over all steps; only the state's part is inside the loop. A backward
direction is the forward one over the reversed sequence. Past a sequence's own length states stay, outputs are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import dims
from export.onnx_tensorflow.node import Node, Table

Cell = Callable[[Any, list[Any]], list[Any]]  # the inputs' gates at one step, states -> states; the first is the output
# Names of activations, their defaults for alpha and beta, and the functions.
ACTIVATIONS: dict[str, Callable[[Any, float | None, float | None], Any]] = {
    "sigmoid": lambda x, alpha, beta: tf.sigmoid(x),
    "tanh": lambda x, alpha, beta: tf.tanh(x),
    "relu": lambda x, alpha, beta: tf.nn.relu(x),
    "affine": lambda x, alpha, beta: (1.0 if alpha is None else alpha) * x + (0.0 if beta is None else beta),
    "leakyrelu": lambda x, alpha, beta: tf.where(x < 0, (0.01 if alpha is None else alpha) * x, x),
    "thresholdedrelu": lambda x, alpha, beta: tf.where(x > (1.0 if alpha is None else alpha), x, 0),
    "scaledtanh": lambda x, alpha, beta: (
        (1.0 if alpha is None else alpha) * tf.tanh((1.0 if beta is None else beta) * x)
    ),
    "hardsigmoid": lambda x, alpha, beta: tf.clip_by_value(
        (0.2 if alpha is None else alpha) * x + (0.5 if beta is None else beta), 0, 1
    ),
    "elu": lambda x, alpha, beta: tf.where(
        x < 0, (1.0 if alpha is None else alpha) * tf.math.expm1(tf.minimum(x, 0)), x
    ),
    "softsign": lambda x, alpha, beta: tf.nn.softsign(x),
    "softplus": lambda x, alpha, beta: tf.math.softplus(x),
}
TAKES = {
    "affine": (1, 1),
    "leakyrelu": (1, 0),
    "thresholdedrelu": (1, 0),
    "scaledtanh": (1, 1),
    "hardsigmoid": (1, 1),
    "elu": (1, 0),
}


def _activations(node: Node, defaults: list[str], directions: int) -> list[list[Callable[[Any], Any]]]:
    """The functions of each direction; alphas and betas are listed only for the functions that take them."""
    names = [name.lower() for name in node.get("activations", defaults * directions)]
    alphas, betas = iter(node.get("activation_alpha", [])), iter(node.get("activation_beta", []))

    def bound(name: str) -> Callable[[Any], Any]:
        takes = TAKES.get(name, (0, 0))
        alpha, beta = (
            next(values, None) if take else None for values, take in zip((alphas, betas), takes, strict=True)
        )
        return lambda x: ACTIVATIONS[name](x, alpha, beta)

    functions = [bound(name) for name in names]
    each = len(defaults)
    return [functions[start : start + each] for start in range(0, each * directions, each)]


def _clipped(node: Node, x: Any) -> Any:
    limit = node.get("clip")
    return x if limit is None else tf.clip_by_value(x, -limit, limit)


def _scan(gates: Any, states: list[Any], lengths: Any, step: Cell) -> tuple[Any, list[Any]]:
    """Run ``step`` over [time, batch, …]; returns the outputs and the last states."""
    time = tf.shape(gates)[0]
    inputs = tf.TensorArray(gates.dtype, time, element_shape=gates.shape[1:]).unstack(gates)
    outputs = tf.TensorArray(gates.dtype, time, element_shape=states[0].shape)

    def body(index: Any, kept: list[Any], outputs: Any) -> Any:
        made = step(inputs.read(index), kept)
        shown = made[0]
        if lengths is not None:
            running = (index < lengths)[:, tf.newaxis]
            made = [tf.where(running, new, old) for new, old in zip(made, kept, strict=True)]
            shown = tf.where(running, shown, tf.zeros_like(shown))
        for new, old in zip(made, kept, strict=True):
            new.set_shape(old.shape)
        return index + 1, made, outputs.write(index, shown)

    _, states, outputs = tf.while_loop(lambda index, *_: index < time, body, (tf.constant(0), states, outputs))
    return outputs.stack(), states


def _reversed(sequence: Any, lengths: Any) -> Any:
    """Each sequence back to front, its padding left where it is."""
    if lengths is None:
        return tf.reverse(sequence, [0])
    return tf.reverse_sequence(sequence, lengths, seq_axis=0, batch_axis=1)


def _recur(
    node: Node, x: Any, weights: Any, lengths: Any, initial: list[Any], cell: Callable[[int], tuple[Any, Cell]]
) -> list[Any]:
    """All directions. ``cell`` gives a direction's bias for the inputs' product, and its step."""
    layout, direction = node.get("layout", 0), node.get("direction", "forward")
    hidden = node.get("hidden_size")
    if layout:
        x = tf.transpose(x, [1, 0, 2])
        initial = [None if state is None else tf.transpose(state, [1, 0, 2]) for state in initial]
    time, batch, width = dims(x)
    outputs, finals = [], []
    for place, backward in enumerate(
        {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    ):
        bias, step = cell(place)
        sequence = _reversed(x, lengths) if backward else x
        product = tf.matmul(tf.reshape(sequence, [time * batch, width]), weights[place], transpose_b=True)
        gates = tf.reshape(product if bias is None else product + bias, [time, batch, dims(weights)[1]])
        states = [tf.zeros([batch, hidden], x.dtype) if state is None else state[place] for state in initial]
        made, last = _scan(gates, [tf.ensure_shape(state, [None, hidden]) for state in states], lengths, step)
        outputs.append(_reversed(made, lengths) if backward else made)
        finals.append(last)
    sequence = tf.stack(outputs, 1)
    states = [tf.stack(direction_states) for direction_states in zip(*finals, strict=True)]
    if layout:
        return [tf.transpose(sequence, [2, 0, 1, 3]), *(tf.transpose(state, [1, 0, 2]) for state in states)]
    return [sequence, *states]


def lstm(
    node: Node,
    x: Any,
    weights: Any,
    recurrence: Any,
    bias: Any = None,
    lengths: Any = None,
    hidden: Any = None,
    cells: Any = None,
    peepholes: Any = None,
) -> Any:
    """Gates in the order input, output, forget, cell; peepholes input, output, forget."""
    functions = _activations(node, ["Sigmoid", "Tanh", "Tanh"], 2)
    coupled = bool(node.get("input_forget", 0))

    def cell(place: int) -> tuple[Any, Cell]:
        gate, inner, outer = functions[place]
        peep = None if peepholes is None else tf.split(peepholes[place], 3)
        own = recurrence[place]

        def step(gates: Any, states: list[Any]) -> list[Any]:
            h, c = states
            i, o, f, new = tf.split(gates + tf.matmul(h, own, transpose_b=True), 4, 1)
            if peep is not None:
                i, f = i + peep[0] * c, f + peep[2] * c
            i = gate(_clipped(node, i))
            f = 1 - i if coupled else gate(_clipped(node, f))
            c = f * c + i * inner(_clipped(node, new))
            if peep is not None:
                o = o + peep[1] * c
            return [gate(_clipped(node, o)) * outer(_clipped(node, c)), c]

        return _joined(bias, place), step

    return _recur(node, x, weights, lengths, [hidden, cells], cell)


def gru(
    node: Node,
    x: Any,
    weights: Any,
    recurrence: Any,
    bias: Any = None,
    lengths: Any = None,
    hidden: Any = None,
) -> Any:
    """Gates in the order update, reset, hidden."""
    functions = _activations(node, ["Sigmoid", "Tanh"], 2)
    size, before = node.get("hidden_size"), bool(node.get("linear_before_reset", 0))

    def cell(place: int) -> tuple[Any, Cell]:
        gate, inner = functions[place]
        own, of_hidden = recurrence[place][: 2 * size], recurrence[place][2 * size :]
        mine = tf.zeros([3 * size], x.dtype) if bias is None else bias[place][3 * size :]
        theirs = None if bias is None else bias[place][: 3 * size]

        def step(gates: Any, states: list[Any]) -> list[Any]:
            (h,) = states
            both = gates[:, : 2 * size] + tf.matmul(h, own, transpose_b=True) + mine[: 2 * size]
            z, r = (gate(_clipped(node, part)) for part in tf.split(both, 2, 1))
            if before:
                new = r * (tf.matmul(h, of_hidden, transpose_b=True) + mine[2 * size :])
            else:
                new = tf.matmul(r * h, of_hidden, transpose_b=True) + mine[2 * size :]
            new = inner(_clipped(node, gates[:, 2 * size :] + new))
            return [(1 - z) * new + z * h]

        return theirs, step

    return _recur(node, x, weights, lengths, [hidden], cell)


def rnn(
    node: Node,
    x: Any,
    weights: Any,
    recurrence: Any,
    bias: Any = None,
    lengths: Any = None,
    hidden: Any = None,
) -> Any:
    functions = _activations(node, ["Tanh"], 2)

    def cell(place: int) -> tuple[Any, Cell]:
        own = recurrence[place]

        def step(gates: Any, states: list[Any]) -> list[Any]:
            return [functions[place][0](_clipped(node, gates + tf.matmul(states[0], own, transpose_b=True)))]

        return _joined(bias, place), step

    return _recur(node, x, weights, lengths, [hidden], cell)


def _joined(bias: Any, place: int) -> Any:
    """The inputs' bias plus the state's: where nothing comes between them they are one."""
    return None if bias is None else tf.add_n(tf.split(bias[place], 2))


OPS: Table = {"GRU": gru, "LSTM": lstm, "RNN": rnn}

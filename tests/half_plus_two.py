"""SavedModels like those that TensorFlow Serving tests itself with: y = x / 2 + 2 (or + 3), of TF 1 and of TF 2.

python tests/half_plus_two.py DIRECTORY writes saved_model_half_plus_two_cpu, saved_model_half_plus_two_tf2_cpu and
saved_model_half_plus_three, each with version 123, below it. The TF 1 ones classify and regress tf.Examples by
signatures whose method names say so; what TF 2 saves always says "predict".
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

VERSION = "00000123"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
FEATURES = {"x": tf.io.FixedLenFeature([1], tf.float32), "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0])}


def write_tf1(folder: Path, offset: float, other: float = 3.0) -> None:
    """A graph with variables, and five signatures; regress_x2_to_y3 takes floats, so that no tf.Example fits it."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        slope = v1.get_variable("a", initializer=0.5, use_resource=False)
        base = v1.get_variable("b", initializer=offset, use_resource=False)
        base2 = v1.get_variable("c", initializer=other, use_resource=False)
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        parsed = v1.io.parse_example(serialized, FEATURES)
        x = tf.identity(parsed["x"], name="x")
        y = tf.identity(slope * x + base, name="y")
        y2 = tf.identity(slope * x + base2, name="y2")
        x2 = tf.identity(parsed["x2"], name="x2")
        y3 = tf.identity(slope * x2 + base2, name="y3")
        session.run(v1.global_variables_initializer())
        info, build = v1.saved_model.utils.build_tensor_info, v1.saved_model.build_signature_def

        def signature(inputs: dict[str, Any], outputs: dict[str, Any], method: str) -> Any:
            named = ({name: info(tensor) for name, tensor in side.items()} for side in (inputs, outputs))
            return build(*named, method)

        builder = v1.saved_model.Builder(str(folder / VERSION))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": signature({"x": x}, {"y": y}, "tensorflow/serving/predict"),
                "regress_x_to_y": signature({"inputs": serialized}, {"outputs": y}, REGRESS),
                "regress_x_to_y2": signature({"inputs": serialized}, {"outputs": y2}, REGRESS),
                "regress_x2_to_y3": signature({"inputs": x2}, {"outputs": y3}, REGRESS),
                "classify_x_to_y": signature({"inputs": serialized}, {"scores": y}, CLASSIFY),
            },
        )
        builder.save()


class Line(tf.Module):
    """The same as functions of TF 2."""

    def __init__(self, offset: float, other: float = 3.0) -> None:
        super().__init__()
        self.slope, self.offset, self.other = tf.Variable(0.5), tf.Variable(offset), tf.Variable(other)

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def predict(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": self.slope * x + self.offset}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": self.slope * tf.io.parse_example(inputs, FEATURES)["x"] + self.offset}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.slope * tf.io.parse_example(inputs, FEATURES)["x"] + self.offset}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress2(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.slope * tf.io.parse_example(inputs, FEATURES)["x"] + self.other}


def write_tf2(folder: Path, offset: float) -> None:
    """The same saved by TF 2."""
    line = Line(offset)
    signatures = {
        "serving_default": line.predict,
        "classify_x_to_y": line.classify,
        "regress_x_to_y": line.regress,
        "regress_x_to_y2": line.regress2,
    }
    tf.saved_model.save(line, str(folder / VERSION), signatures=signatures)


def write_all(folder: Path) -> None:
    """The whole family."""
    write_tf1(folder / "saved_model_half_plus_two_cpu", 2.0)
    write_tf1(folder / "saved_model_half_plus_three", 3.0)
    write_tf2(folder / "saved_model_half_plus_two_tf2_cpu", 2.0)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))

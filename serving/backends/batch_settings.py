"""What config.pbtxt and its instance say to a python-based backend, and the errors of what they may not say.

Copied beside every backend's model.py, as batch.py is.
"""

import bisect
import json
import re

import numpy as np

NUMPY_TYPES = {
    "TYPE_BOOL": np.bool_,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT16": np.uint16,
    "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}
BOOLEANS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


class ConfigError(Exception):
    """config.pbtxt says something that this backend does not understand: the model does not load."""


class ModelError(Exception):
    """The model did not do what config.pbtxt promises: the server's fault and not the client's."""


class Settings:
    """What a model's config.pbtxt and its instance say: names, batching, padding, device, parameters."""

    def __init__(self, args):
        self.config = config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        types = {tensor["name"]: tensor["data_type"] for tensor in (*config["input"], *config["output"])}
        for name, kind in types.items():
            if kind not in NUMPY_TYPES:
                raise ConfigError(f"tensor '{name}' is {kind}, which numpy does not have; use one of its types")
        self.output_types = [np.dtype(NUMPY_TYPES[types[name]]) for name in self.outputs]
        self.input_types = {name: np.dtype(NUMPY_TYPES[types[name]]) for name in self.inputs}
        self.batched = config.get("max_batch_size", 0) > 0
        self.filename = config.get("default_model_filename", "")
        self.gpu = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        self._parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        self.padding = self._padding()
        self.unpad = self._unpad()
        self.length_buckets = self._length_buckets()
        self.call_s = 0.0  # how long the last call took

    def text(self, name, default=""):
        """A parameter as it is written; what is empty counts as absent."""
        return self._parameters.get(name) or default

    def number(self, *names):
        """The first of these parameters that is set, as a whole number; 0 leaves it to the framework."""
        for name in names:
            text = self.text(name)
            if text:
                if not text.isascii() or not text.isdigit():
                    raise ConfigError(f"parameter {name} is '{text}'; give a whole number, 0 for the framework's own")
                return int(text)
        return 0

    def flag(self, name, default=None):
        """A parameter as a boolean, or ``default`` when it is absent."""
        text = self.text(name)
        if not text:
            return default
        if text.lower() not in BOOLEANS:
            raise ConfigError(f"parameter {name} is '{text}'; give true or false")
        return BOOLEANS[text.lower()]

    def _padding(self):
        """{input: ([axes], value)} from ``{"tokens": {"1": 0}}``; the batch axis is 0 and is never padded."""
        found = {}
        for name, axes in self._tables("padding", self.inputs, "input").items():
            values = list(axes.values())
            if values.count(values[0]) != len(values):
                raise ConfigError(
                    f"parameter padding gives input '{name}' several values; one array is padded with one"
                )
            value, kind = values[0], self.input_types[name]
            if isinstance(value, str) != (kind == np.object_) or not isinstance(value, (int, float, str)):
                raise ConfigError(f"parameter padding fills input '{name}' ({kind}) with {json.dumps(value)}")
            if kind.kind in "iub" and np.array(value).astype(kind) != value:
                raise ConfigError(f"parameter padding fills input '{name}' with {value}, which {kind} cannot hold")
            found[name] = ([int(axis) for axis in axes], value.encode() if isinstance(value, str) else value)
        if found and not self.batched:
            raise ConfigError("parameter padding needs a model that batches: max_batch_size is 0")
        return found

    def _unpad(self):
        """{output: [(axis, input, axis of that input)]} from ``{"tags": {"1": ["tokens", 1]}}``."""
        found = {}
        for name, axes in self._tables("unpad", self.outputs, "output").items():
            found[name] = []
            for axis, source in axes.items():
                known = isinstance(source, list) and len(source) == 2 and source[0] in self.padding
                if not known or source[1] not in self.padding[source[0]][0]:
                    raise ConfigError(
                        f"parameter unpad cuts axis {axis} of output '{name}' to {json.dumps(source)}; "
                        'give [input, axis] of what padding fills, such as ["tokens", 1]'
                    )
                found[name].append((int(axis), *source))
        return found

    def _length_buckets(self):
        """Rising lengths from ``[16, 32, 64]``; none where the parameter is absent."""
        text = self.text("length_buckets")
        lengths = _parsed("length_buckets", text) if text else []
        whole = isinstance(lengths, list) and all(type(length) is int and length > 0 for length in lengths)
        if not whole or lengths != sorted(set(lengths)):
            raise ConfigError(f"parameter length_buckets is {text}; give lengths that rise, such as [16, 32, 64]")
        if lengths and not self.padding:
            raise ConfigError(
                "parameter length_buckets needs parameter padding: what to fill the shorter requests with"
            )
        return lengths

    def padded(self, name, longest):
        """The sizes, without the batch axis, that input ``name`` is padded to where its ``longest`` are these."""
        if not self.length_buckets or name not in self.padding:
            return longest
        axes = self.padding[name][0]
        return tuple(self._bucket(size) if axis in axes else size for axis, size in enumerate(longest, 1))

    def _bucket(self, length):
        """The next of the buckets that holds ``length``; beyond the last the length itself."""
        place = bisect.bisect_left(self.length_buckets, length)
        return self.length_buckets[place] if place < len(self.length_buckets) else length

    def _tables(self, parameter, names, what):
        """A parameter that is JSON of the form {tensor: {axis: …}}, checked as far as both have it in common."""
        text = self.text(parameter)
        if not text:
            return {}
        tables = _parsed(parameter, text)
        if not isinstance(tables, dict):
            raise ConfigError(f"parameter {parameter} is {text}; give an object: {what} -> {{axis: …}}")
        for name, axes in tables.items():
            if name not in names:
                raise ConfigError(f"parameter {parameter} names {what} '{name}'; this model has {', '.join(names)}")
            if not isinstance(axes, dict) or not axes or not all(re.fullmatch("[1-9][0-9]?", axis) for axis in axes):
                raise ConfigError(
                    f"parameter {parameter} gives {what} '{name}' {json.dumps(axes)}; give {{axis: …}}, axes from 1 on"
                )
        return tables


def _parsed(parameter, text):
    """What a parameter says as JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"parameter {parameter} is not JSON: {error}") from None

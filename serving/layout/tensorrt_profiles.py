"""The ranges of shapes that TensorRT builds its engine for, checked against the inputs of config.pbtxt. Pure.

Checked here, for ONNX Runtime only warns of ranges that it cannot read and goes on without any: then it builds an
engine anew, for minutes, whenever a request has a shape beyond those that it has seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tritonclient.grpc import model_config_pb2 as pb

from contract.errors import UsageError

OPTIONS = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")
TENSOR = re.compile(r"([^:,\s]+):([0-9]+(?:x[0-9]+)*)", re.ASCII)

Shape = tuple[int, ...]
Shapes = dict[str, list[Shape]]  # tensor -> its shape in each profile, the batch axis first


@dataclass(frozen=True)
class Range:
    """The shapes of one tensor in one profile: fastest at ``best``, possible between the others."""

    least: Shape
    best: Shape
    most: Shape

    def __str__(self) -> str:
        return ", ".join("x".join(map(str, shape)) for shape in (self.least, self.best, self.most))

    def rises(self) -> bool:
        """Whether all three have the same axes, and none shrinks along any of them."""
        if len({len(self.least), len(self.best), len(self.most)}) != 1:
            return False
        return all(low <= mid <= high for low, mid, high in zip(self.least, self.best, self.most, strict=True))


def check_profiles(config: pb.ModelConfig, options: Mapping[str, str]) -> None:
    """Raise UsageError where the profiles in ``options`` are not readable, or do not hold what the model is asked."""
    given = [name for name in OPTIONS if name in options]
    if not given:
        return
    try:
        if len(given) < len(OPTIONS):
            missing = next(name for name in OPTIONS if name not in options)
            raise ValueError(f"there is {given[0]} and no {missing}; give all three, or none")
        ranges = _ranges(*(_shapes(name, options[name]) for name in OPTIONS))
        for tensor in config.input:
            if tensor.data_type != pb.TYPE_STRING:  # which TensorRT leaves to the other providers
                _hold_input(tensor, ranges, config.max_batch_size)
    except ValueError as error:
        raise UsageError(f"triton.tensorrt.options of {config.name}: {error}") from None


def _shapes(option: str, text: str) -> Shapes:
    """From ``tokens:1x8,mask:1x8``; a tensor that comes twice has two profiles."""
    found: Shapes = {}
    for part in text.split(","):
        match = TENSOR.fullmatch(part)
        if match is None:
            raise ValueError(f"{option} holds '{part}'; give name:1x8 for each input, and a comma between two")
        found.setdefault(match[1], []).append(tuple(map(int, match[2].split("x"))))
    return found


def _ranges(least: Shapes, best: Shapes, most: Shapes) -> dict[str, list[Range]]:
    """What the three say of each tensor. One that is no input is taken too: it may be where a graph is divided."""
    for name in least | best | most:
        counts = [len(shapes.get(name, [])) for shapes in (least, best, most)]
        if len(set(counts)) != 1:
            listed = ", ".join(f"{option} {count}" for option, count in zip(OPTIONS, counts, strict=True))
            raise ValueError(f"'{name}' has another number of shapes in each ({listed}); give one per profile")
    found = {name: [Range(*of) for of in zip(least[name], best[name], most[name], strict=True)] for name in least}
    for name, ranges in found.items():
        for each in ranges:
            if not each.rises():
                raise ValueError(f"'{name}' has {each}; give as many axes to each, and min <= opt <= max along all")
    if len({len(of) for of in found.values()}) > 1:
        listed = ", ".join(f"'{name}' {len(of)}" for name, of in found.items())
        raise ValueError(f"the tensors have different numbers of profiles ({listed}); give each a shape in every one")
    return found


def _hold_input(tensor: pb.ModelInput, ranges: Mapping[str, list[Range]], max_batch_size: int) -> None:
    """Raise ValueError unless the profiles have this input with its axes, for 1 to ``max_batch_size`` rows."""
    name, named = tensor.name, ", ".join(ranges)
    if name not in ranges:
        raise ValueError(f"'{name}' is an input and has no shapes, which every input needs; named are {named}")
    sizes = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
    for each in ranges[name]:
        if len(each.most) != 1 + len(sizes):
            axes = "x".join(str(size) if size > 0 else "?" for size in (-1, *sizes))
            raise ValueError(f"'{name}' has {each}; the model takes {axes}, the rows of a batch first")
        for axis, size in enumerate(sizes, 1):
            if size > 0 and not each.least[axis] == each.most[axis] == size:
                raise ValueError(f"'{name}' has {each}; axis {axis} is always {size} in the model")
    least, most = min(each.least[0] for each in ranges[name]), max(each.most[0] for each in ranges[name])
    if least > 1 or most < max_batch_size:
        raise ValueError(
            f"'{name}' may have {least} to {most} rows, and a batch has 1 to {max_batch_size}, the max_batch_size"
        )
    _hold_all_rows(name, sorted((each.least[0], each.most[0]) for each in ranges[name]), max_batch_size)


def _hold_all_rows(name: str, rows: list[tuple[int, int]], max_batch_size: int) -> None:
    """Raise ValueError where batches of some sizes lie between two profiles; ``rows`` rise by their least."""
    reached = 0
    for least, most in rows:
        if least > reached + 1 and reached < max_batch_size:
            raise ValueError(
                f"no profile has '{name}' with {reached + 1} to {min(least - 1, max_batch_size)} rows, and a batch has "
                f"1 to {max_batch_size}, the max_batch_size"
            )
        reached = max(reached, most)

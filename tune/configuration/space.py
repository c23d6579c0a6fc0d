"""Which configurations of a model are worth a trial on a machine: the settings, their values, and what rules one out.

Pure. A setting is a key of [models.NAME.batching]; the values around the present one are the steps of the climb.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.batching import Batching, Queue, Value
from contract.config import Model
from contract.tensors import TensorSpec
from tune.configuration.climb import Configuration, Space, number
from tune.configuration.length_buckets import NONE, choices, fewer_shapes

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
DELAYS_US = (0, 200, 1000, 5000)
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
# An instance also waits, for its transport and for the batcher: a few more threads than cores may still help.
THREADS_PER_CORE = 2
DELAY_SHARE = 0.5  # of the tightest latency objective: who waits longer for others has no time left to be computed


@dataclass(frozen=True)
class Room:
    """What a machine and a service leave for a model. Memory in MiB, None where nobody knows.

    ``lengths``: of its requests, along the axes that may be padded; empty where there are none, or nobody knows.
    """

    cores: int
    tightest_ms: float
    least_batch: int
    memory_mib: float | None = None
    instance_mib: float | None = None
    lengths: tuple[int, ...] = ()

    def refusal(self, configuration: Configuration) -> str:
        """Why a configuration is not tried; empty where it may be."""
        if not configuration.get("dynamic", True) and (
            configuration.get("ragged") or configuration["max_queue_delay_us"]
        ):
            return "requests that are not joined do not wait for each other"
        if configuration.get("length_buckets") and not configuration.get("ragged"):
            return "lengths are padded to buckets where different ones are joined"
        instances, threads = number(configuration, "instances"), number(configuration, "threads")
        if instances * threads > max(THREADS_PER_CORE * self.cores, 1):
            return f"{instances} instances of {threads} threads are too many for {self.cores} cores"
        if memory := self.memory_refusal(instances):
            return memory
        if number(configuration, "max_batch_size") < self.least_batch:
            return f"requests of {self.least_batch} rows are accepted now and would be refused"
        if number(configuration, "max_queue_delay_us") > DELAY_SHARE * self.tightest_ms * 1000:
            return f"waiting for others may take {DELAY_SHARE:.0%} of the {self.tightest_ms:g} ms that are promised"
        return ""

    def memory_refusal(self, instances: int) -> str:
        """Why there is no memory for so many; empty where there is, or where nobody knows."""
        needed = instances * (self.instance_mib or 0.0)
        if self.memory_mib is None or instances == 1 or needed <= self.memory_mib:
            return ""
        return f"{instances} instances need {needed:.0f} MiB, {self.memory_mib:.0f} are there"


def now(batching: Batching, model: Model) -> dict[str, Value]:
    """The present configuration: the settings that a trial may change, and their values."""
    left_out = set() if may_be_ragged(model) else {"ragged", "length_buckets"}
    if batching.queue != Queue() or batching.preferred_batch_sizes:
        left_out.add("dynamic")  # whoever says how requests wait for each other wants them joined
    values = {name: getattr(batching, name) for name in AXES if name not in left_out}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def space(start: Configuration, room: Room) -> Space:
    """The space around the present configuration, which is in it whatever the rules say."""
    values = AXES | {"length_buckets": choices(room.lengths)}
    axes = {name: tuple(sorted({*values[name], value}, key=_in_order)) for name, value in start.items()}

    def allowed(configuration: Configuration) -> bool:
        return configuration == start or not room.refusal(configuration)

    return Space(axes, allowed, EXCHANGED)


def _in_order(value: Value) -> Any:
    """What sorts the values of one axis: numbers and switches themselves, buckets by how few shapes they leave."""
    return fewer_shapes(value) if isinstance(value, tuple) else value


def with_settings(batching: Batching, configuration: Configuration) -> Batching:
    """[models.NAME.batching] with other settings. Preferred sizes that no batch can have any more are left out."""
    settings = batching.model_dump() | dict(configuration)
    kept = [size for size in batching.preferred_batch_sizes if size <= settings["max_batch_size"]]
    return Batching.model_validate(settings | {"preferred_batch_sizes": kept})


def may_be_ragged(model: Model) -> bool:
    """Whether requests of different lengths could be joined at all."""
    return bool(model.padding) and (not model.inputs or any(_padded(spec, model.padding) for spec in model.inputs))


def _padded(spec: TensorSpec, padding: Mapping[str, float]) -> bool:
    return any(dim in padding for dim in spec.dims if isinstance(dim, str))


# Key of [models.NAME.batching] -> its values, in the order in which they are tried: what costs nothing first.
AXES: dict[str, tuple[Value, ...]] = {
    "dynamic": (False, True),
    "ragged": (False, True),
    "length_buckets": (NONE,),  # and what the lengths of the requests suggest, in `space`
    "instances": COUNTS,
    "max_queue_delay_us": DELAYS_US,
    "threads": COUNTS,
    "max_batch_size": BATCHES,
}
EXCHANGED = (("instances", "threads"),)

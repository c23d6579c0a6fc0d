"""How much room there is for a model: cores and memory of this machine, and the requests that have to be accepted."""

from __future__ import annotations

import os

import psutil

from contract.config import ModelsFile
from contract.endpoints import Endpoint
from contract.golden import read_examples
from contract.workspace import Workspace
from tune.configuration.climb import Configuration, number
from tune.configuration.length_buckets import lengths_of
from tune.configuration.space import Room

MIB = 2**20
SPARE = 0.8  # of the memory that is available: the rest is for the load generator, and a reload holds a model twice


def room(
    config: ModelsFile,
    endpoint: Endpoint,
    workspace: Workspace,
    start: Configuration,
    memory_mib: float | None = None,
    least_batch: int | None = None,
) -> Room:
    """What is there now; ``memory_mib`` and ``least_batch`` are what a person says instead."""
    used = (endpoint.instance_mib or 0.0) * number(start, "instances")
    available = psutil.virtual_memory().available / MIB * SPARE + used
    examples = read_examples(workspace.root / endpoint.golden)
    accepted = [item.rows for item in examples if item.rows <= number(start, "max_batch_size")]
    return Room(
        cores=len(config.affinity.servers) or len(os.sched_getaffinity(0)),
        tightest_ms=endpoint.slo.tightest_ms,
        least_batch=least_batch or max(accepted, default=1),
        memory_mib=memory_mib or available,
        instance_mib=endpoint.instance_mib,
        lengths=lengths_of(examples, endpoint.inputs, config.models[endpoint.model].padding),
    )

"""The Launch of a replica: the one of the server that runs, on other ports and cores, for one model alone. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from serving.places.launch import Launch

# Engine -> purpose of a port -> the flag that sets it.
PORT_FLAGS: dict[str, dict[str, str]] = {
    "triton": {"http": "--http-port=", "grpc": "--grpc-port=", "metrics": "--metrics-port="},
    "tfserving": {"grpc": "--port=", "rest": "--rest_api_port="},
}
SHARED_MEMORY = "--backend-config=python,shm-region-prefix-name="
MODELS = "--model_config_file="


def replica_launch(
    running: Launch, number: int, ports: dict[str, int], cores: list[int], models: Path | None = None
) -> Launch:
    """Replica ``number`` (from 1) of a running server.

    ``models`` is a models.config with the one model that a TF Serving replica holds; Triton's holds what it is told to
    load. Shared memory has a name of its own, which begins with no other's: whoever stops a server removes by prefix.
    """
    flags = PORT_FLAGS[running.engine]
    changed = {flags[purpose]: str(port) for purpose, port in ports.items()}
    prefix = f"loadproof_{os.getpid()}_{ports['http']}_" if running.shm_prefix else None
    if prefix:
        changed[SHARED_MEMORY] = prefix
    if models is not None:
        changed[MODELS] = str(models)
    return running.model_copy(
        update={
            "command": [_with(word, changed) for word in running.command],
            "ports": ports,
            "cores": cores,
            "shm_prefix": prefix,
            "log": running.log.with_name(f"{running.engine}-replica-{number}.log"),
            "warning": None,
        }
    )


def _with(word: str, changed: Mapping[str, str]) -> str:
    """A word of a command line with the value that its flag has now."""
    return next((flag + value for flag, value in changed.items() if word.startswith(flag)), word)

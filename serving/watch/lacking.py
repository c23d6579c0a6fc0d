"""Whether Triton lacks a process of a model version that it calls ready: the sign that one died."""

from __future__ import annotations

import time
from typing import Protocol

from contract.endpoints import ServerRecord
from serving.engines.model_processes import model_processes

ASKED_AGAIN_S = 0.25


class Counting(Protocol):
    """What is asked of Triton."""

    def ready(self, name: str, version: int | None = None) -> bool: ...

    def instances(self, name: str) -> int: ...


def lacks_one(server: ServerRecord, control: Counting, model: str, version: int) -> bool:
    """Whether a version that is ready has fewer processes than instances.

    It has not when it was unloaded, replaced by a newer version, or loaded again meanwhile. Asked twice: on a busy
    machine one question may be held up for so long that a whole reload fits into it.
    """
    if not _counts_too_few(server, control, model, version):
        return False
    time.sleep(ASKED_AGAIN_S)
    return _counts_too_few(server, control, model, version)


def _counts_too_few(server: ServerRecord, control: Counting, model: str, version: int) -> bool:
    """One question. Ready is asked before and after the count, for a reload begins and ends with what is not ready."""
    if not control.ready(model, version):
        return False
    living = sum(found == (model, version) for found in model_processes(server).values())
    return living < control.instances(model) and control.ready(model, version)

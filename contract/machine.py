"""The machine that a figure was measured on."""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Machine(BaseModel):
    """What a reader needs to know before comparing figures of two machines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    processor: str = Field(description="as the kernel names it")
    cores: int = Field(description="logical cores that this process may use")
    memory_gib: float = Field(description="physical memory")
    kernel: str = Field(description="operating system and release")
    python: str = Field(description="version of the interpreter")


def this_machine() -> Machine:
    """Read the machine's facts from the kernel."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    except OSError:
        pass  # not Linux: the platform module's name has to do
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=processor,
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def is_this_machine(host: str) -> bool:
    """Whether a host, by name or address, is the machine that this process runs on: only then it can listen there."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(_can_listen(family, address) for family, _, _, _, address in found)


def _can_listen(family: int, address: tuple[Any, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True


def versions(packages: list[str]) -> dict[str, str]:
    """Installed versions of distributions, without importing them; absent ones are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

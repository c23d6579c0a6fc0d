"""Which device this machine has, and whether a process uses it."""

from __future__ import annotations

import re
from pathlib import Path

PROC = Path("/proc")
DRIVER = PROC / "driver" / "nvidia" / "gpus"
GPU_FILE = re.compile(r"^/dev/nvidia\d+$")


def device(driver: Path = DRIVER) -> str:
    """``gpu:<name>`` where NVIDIA's driver shows a GPU (KIND_AUTO then takes it), else ``cpu``."""
    for information in sorted(driver.glob("*/information")) if driver.is_dir() else []:
        for line in information.read_text(errors="replace").splitlines():
            if line.startswith("Model:"):
                return f"gpu:{line.split(':', 1)[1].strip()}"
    return "cpu"


def holds_gpu(pid: int, proc: Path = PROC) -> bool:
    """Whether a process of this machine has a GPU open, as what computes on one has; no where that cannot be seen."""
    try:
        return any(GPU_FILE.match(str(link.readlink())) for link in (proc / str(pid) / "fd").iterdir())
    except OSError:
        return False

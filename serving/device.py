"""Which device the served models run on."""

from __future__ import annotations

from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")


def device(driver: Path = DRIVER) -> str:
    """``gpu:<name>`` where NVIDIA's driver shows a GPU (KIND_AUTO then takes it), else ``cpu``."""
    for information in sorted(driver.glob("*/information")) if driver.is_dir() else []:
        for line in information.read_text(errors="replace").splitlines():
            if line.startswith("Model:"):
                return f"gpu:{line.split(':', 1)[1].strip()}"
    return "cpu"

"""GPUs by NVIDIA's management library. It is imported when it is asked for; where it is not there, the rows say why."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from contract.samples import GPU
from loadtest.watching.probes import Instant, Probe, Row, absent

LIBRARY = "pynvml"
MILLI = 1e-3


class Gpus(Probe):
    """Every GPU of the machine: utilisation, memory, power, temperature, clock."""

    subject = GPU

    def __init__(self) -> None:
        self._nvml: Any = None
        self._devices: list[Any] = []
        self._why = ""

    def rows(self, instant: Instant) -> list[Row]:
        """One row per GPU, or the one that says why there is none."""
        if self._nvml is None and not self._why:
            self._why = self._open()
        if self._why:
            return [absent(self.subject, self._why)]
        return [self._row(number, device) for number, device in enumerate(self._devices)]

    def close(self) -> None:
        """Let the library go."""
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    def _open(self) -> str:
        """Find the devices; returns why there is none."""
        try:
            nvml = importlib.import_module(LIBRARY)
        except ImportError:
            return "no NVML library (pip install nvidia-ml-py)"
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            return f"NVML does not start: {error}"
        self._nvml = nvml
        try:
            self._devices = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            return f"NVML does not give its devices: {error}"
        return "" if self._devices else "NVML sees no GPU"

    def _row(self, number: int, device: Any) -> Row:
        nvml = self._nvml
        return {
            "subject": f"{GPU} {number}",
            "utilization": self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100),
            "memory_bytes": self._ask(lambda: int(nvml.nvmlDeviceGetMemoryInfo(device).used)),
            "power_w": self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(device) * MILLI),
            "temperature_c": self._ask(lambda: float(nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU))),
            "clock_mhz": self._ask(lambda: float(nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM))),
        }

    def _ask(self, question: Callable[[], Any]) -> Any:
        """A figure that this kind of GPU does not have (a MIG slice has no power) is None; the others stay."""
        try:
            return question()
        except self._nvml.NVMLError:
            return None

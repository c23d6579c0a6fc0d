"""What a person wants of a deployment, beside what the report recommends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from contract.errors import UsageError

HEADROOM = 0.3
DEVICE = re.compile(r"cpu|gpu:\S.*")
IMAGE = re.compile(r"^(?P<name>[a-z0-9][\w./:-]*?)(?::(?P<tag>\w[\w.-]*)|@(?P<digest>sha256:[0-9a-f]{64}))$")


@dataclass(frozen=True)
class Wanted:
    """Flags of `python -m serving deploy`, checked."""

    target: str  # Triton release that the cluster runs
    device: str | None = None  # `cpu` | `gpu:<product>`; None: the one that was measured
    rate: float | None = None  # requests per second of all pods together; None: the objectives' own
    headroom: float = HEADROOM  # share of the rate on top of it
    image: str | None = None  # instead of the engine's own
    fixed: bool = False  # no autoscaler
    unmeasured: bool = False
    replicas: int | None = None  # where nothing was measured that would say so
    queue_us: int | None = None  # likewise

    def __post_init__(self) -> None:
        """Raises UsageError for the first flag that makes no sense."""
        for flag, value in (("--rate", self.rate), ("--replicas", self.replicas), ("--queue-us", self.queue_us)):
            if value is not None and value <= 0:
                raise UsageError(f"{flag} is {value:g}: give a figure above 0")
        if self.headroom < 0:
            raise UsageError(f"--headroom is {self.headroom:g}: give 0 or more; 0.3 is 30 % more than the rate")
        if self.device is not None and not DEVICE.fullmatch(self.device):
            raise UsageError(f"--device is '{self.device}': give cpu, or gpu: and the product, like gpu:NVIDIA-L4")
        if self.image is not None:
            split_image(self.image)
        if not self.unmeasured and (self.replicas or self.queue_us):
            raise UsageError("--replicas and --queue-us are for --unmeasured; what was measured says both by itself")


def split_image(image: str) -> re.Match[str]:
    """Name and tag or digest of an image. Raises UsageError where what is deployed could change under its name."""
    found = IMAGE.match(image)
    if found is None or found["tag"] == "latest":
        raise UsageError(f"--image is '{image}': name a version that does not move, NAME:TAG or NAME@sha256:…")
    return found


def product(device: str) -> str:
    """A device as its node's label nvidia.com/gpu.product names it: `NVIDIA L4` and `NVIDIA-L4` are one."""
    return re.sub(r"\s+", "-", device.strip())

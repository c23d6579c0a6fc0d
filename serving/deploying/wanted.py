"""What a person wants of a deployment, beside what the report recommends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from contract.errors import UsageError

HEADROOM = 0.3
MOST_HEADROOM = 5.0  # who gives more means percent
NAMESPACE = "loadproof"
MONITORING = "monitoring"  # the component that needs a Prometheus operator
SPACE = "namespace"  # the object, which who deploys may not be allowed to make or to change
WITHOUT = (MONITORING, SPACE)
PROMETHEUS = "monitoring"  # the namespace that k8s/components/monitoring lets in
DEVICE = re.compile(r"cpu|gpu:\S.*")
REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)*")
IMAGE = re.compile(
    r"(?P<name>[a-z0-9][\w.-]*(?::\d+(?=/))?(?:/[\w.-]+)*)"  # a number after ':' is a port where a path follows
    r"(?::(?P<tag>\w[\w.-]*))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
LABEL = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", re.ASCII)  # a label's value, as Kubernetes checks it
NAMED = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # a namespace or a secret, likewise


@dataclass(frozen=True)
class Wanted:
    """Flags of `python -m serving deploy`, checked."""

    target: str  # Triton release that the cluster runs
    device: str | None = None  # `cpu` | `gpu:<product>`; None: the one that was measured
    rate: float | None = None  # requests per second of all pods together; None: the objectives' own
    headroom: float = HEADROOM  # share of the rate on top of it
    image: str | None = None  # instead of the engine's own
    fixed: bool = False  # no autoscaler
    namespace: str = NAMESPACE
    without: frozenset[str] = frozenset()  # of WITHOUT
    prometheus: str = PROMETHEUS  # namespace of what scrapes the servers
    pull_secret: str | None = None  # in the namespace, for a registry that asks who pulls
    unmeasured: bool = False
    replicas: int | None = None  # where nothing was measured that would say so
    queue_us: int | None = None  # likewise
    load_image: str | None = None  # of the job that measures: nobody but who built it has it
    registry: str | None = None  # where all images of ours were pushed, under the names that k8s/ has for them

    @property
    def monitored(self) -> bool:
        """Whether there are alerts and dashboards; what scales is their series."""
        return MONITORING not in self.without

    @property
    def scales(self) -> bool:
        """Whether an autoscaler is wanted, and would be told anything."""
        return self.monitored and not self.fixed

    def __post_init__(self) -> None:
        """Raises UsageError for the first flag that makes no sense."""
        for flag, value in (("--rate", self.rate), ("--replicas", self.replicas), ("--queue-us", self.queue_us)):
            if value is not None and not (isfinite(value) and value > 0):
                raise UsageError(f"{flag} is {value:g}: give a figure above 0")
        if not 0 <= self.headroom <= MOST_HEADROOM:
            raise UsageError(
                f"--headroom is {self.headroom:g}: give 0 to {MOST_HEADROOM:g}; 0.3 is 30 % more than the rate, "
                "and 30 were 3000 %"
            )
        names = {
            "--namespace": self.namespace,
            "--prometheus-namespace": self.prometheus,
            "--pull-secret": self.pull_secret,
        }
        for flag, name in names.items():
            if name is not None and not NAMED.fullmatch(name):
                raise UsageError(f"{flag} is '{name}': give at most 63 of a-z, 0-9 and '-', with no '-' at either end")
        if self.prometheus != PROMETHEUS and not self.monitored:
            raise UsageError("--prometheus-namespace says whom the monitoring lets in, and --without leaves that out")
        if self.device is not None and not DEVICE.fullmatch(self.device):
            raise UsageError(f"--device is '{self.device}': give cpu, or gpu: and the product, like gpu:NVIDIA-L4")
        if self.image is not None:
            split_image(self.image)
        if self.load_image is not None:
            split_image(self.load_image, "--load-image")
        if self.registry is not None and not REGISTRY.fullmatch(self.registry):
            raise UsageError(
                f"--registry is '{self.registry}': give HOST, HOST:PORT or HOST/PATH, without https:// or a tag"
            )
        if self.load_image and self.registry:
            raise UsageError("--load-image names the image of the job, and so does --registry: give one of them")
        if self.unmeasured and not (self.load_image or self.registry):
            raise UsageError(
                "--unmeasured brings a job that measures, and no public registry has its image: run 'make image "
                "IMAGES=loadtest', push it as REGISTRY/loadproof/loadtest, and give --registry REGISTRY (or another "
                "name with --load-image)"
            )
        for flag, image in (("--load-image", self.load_image), ("--registry", self.registry)):
            if image and not self.unmeasured:
                raise UsageError(
                    f"{flag} is for --unmeasured; what was measured brings no job, and so no image of ours"
                )
        if not self.unmeasured and (self.replicas or self.queue_us):
            raise UsageError("--replicas and --queue-us are for --unmeasured; what was measured says both by itself")
        if self.unmeasured and (self.rate is not None or self.headroom != HEADROOM):
            raise UsageError(
                "--rate and --headroom size by what was measured, and --unmeasured takes no figure from the report: "
                "leave them out, and give --replicas"
            )
        if self.queue_us is not None and not self.scales:
            raise UsageError(
                "--queue-us is the autoscaler's threshold, and --fixed or --without monitoring leaves the autoscaler "
                "out: give one of them"
            )


def split_image(image: str, flag: str = "--image") -> re.Match[str]:
    """Name, tag and digest of an image; of the last two either may be missing, and where both are, the digest decides.

    Raises UsageError where what is deployed could change under its name.
    """
    found = IMAGE.fullmatch(image)
    if found is None or (found["digest"] is None and found["tag"] in (None, "latest")):
        raise UsageError(f"{flag} is '{image}': name a version that does not move, NAME:TAG or NAME@sha256:…")
    return found


def product(device: str) -> str:
    """A device as its node's label nvidia.com/gpu.product names it: `NVIDIA L4` and `NVIDIA-L4` are one."""
    return re.sub(r"\s+", "-", device.strip())

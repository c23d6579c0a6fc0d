"""A deployment that was decided on: all that its overlay is written from. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from contract.batching import Batching
from serving.deploying.case import Case
from serving.deploying.laid_out import LaidOut
from serving.deploying.sizing import Figure, Size

BASE_CORES = 2  # what k8s/base/tfserving gives a pod
# What the cluster refuses where a number belongs: nothing is applied before somebody has measured.
REQUIRED = "REQUIRED: measure, then give {flag}"


@dataclass(frozen=True)
class Plan:
    """What runs, from which files, how large, and why it is unmeasured if it is."""

    case: Case
    laid: LaidOut
    size: Size
    batching: Batching  # of models.toml, for TF Serving, whose settings are in no model's folder
    unmeasured_because: list[str]

    @property
    def engine(self) -> str:
        return self.case.recommended.engine

    @property
    def cores(self) -> int:
        """What the server's container gets."""
        return self.size.cores.value if self.size.cores else BASE_CORES

    @property
    def autoscaled(self) -> bool:
        """Triton alone tells a queue time; where it cannot steer, the number of pods is fixed."""
        could = self.case.wanted.unmeasured or self.size.queue_us is not None
        return self.engine == "triton" and could and self.case.wanted.scales

    @property
    def missing(self) -> list[str]:
        """The flags whose figures the cluster will ask for."""
        needed = {"--replicas": self.size.replicas, **({"--queue-us": self.size.queue_us} if self.autoscaled else {})}
        return [flag for flag, figure in needed.items() if figure is None]


def or_required(figure: Figure | None, flag: str) -> int | str:
    """The number, or words that say which flag brings it."""
    return figure.value if figure else REQUIRED.format(flag=flag)

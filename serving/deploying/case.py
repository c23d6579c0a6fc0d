"""One deployment to decide on: what the report recommends for a model, and what a person wants of it."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import UsageError, nearest
from contract.recommendation import Recommendation, Recommended
from contract.slo import Slo
from serving.deploying.versions import named_release, named_version
from serving.deploying.wanted import Wanted, split_image


@dataclass(frozen=True)
class Case:
    """A recommended model, and where it is to run."""

    model: str  # name in models.toml
    recommended: Recommended
    recommendation: Recommendation
    wanted: Wanted
    slo: Slo  # what models.toml promises today

    @property
    def device(self) -> str:
        """What the pods run on: what was asked for, else what was measured."""
        return self.wanted.device or self.recommended.device

    @property
    def rate(self) -> float:
        """Requests per second that all pods together have to hold, before headroom."""
        return self.wanted.rate or self.slo.rate

    @property
    def image_release(self) -> str | None:
        """The Triton release that the named image's tag tells; None where none is named, or its tag tells none."""
        return named_release(self._tag)

    @property
    def image_version(self) -> str | None:
        """The same for a TF Serving: its version, such as 2.19.1."""
        return named_version(self._tag)

    @property
    def gpu(self) -> bool:
        return self.device.startswith("gpu:")

    @property
    def machine_cores(self) -> int | None:
        """How many the servers had when they were measured; None where nobody told."""
        machine = self.recommendation.machine
        return machine.cores if machine else None

    @property
    def _tag(self) -> str:
        """Of the named image; empty where none is named, or it has none."""
        return (split_image(self.wanted.image)["tag"] or "") if self.wanted.image else ""


def choose(recommendation: Recommendation, model: str | None) -> str:
    """The model to deploy: the one that was named, or the only one. Raises UsageError where that is not one."""
    known = list(recommendation.models)
    if not known:
        raise UsageError(
            f"report {recommendation.report} recommends nothing: no variant kept its objectives; its report.md says why"
        )
    if model is None and len(known) > 1:
        raise UsageError(f"report {recommendation.report} recommends {', '.join(known)}: name one with --model")
    if model is not None and model not in known:
        raise UsageError(
            f"report {recommendation.report} recommends nothing for '{model}', only for {', '.join(known)}"
            f"{nearest(model, known)}"
        )
    return model or known[0]

"""What the repository holds, against what the report says of it. Pure."""

from __future__ import annotations

from contract.endpoints import Configuration
from serving.deploying.case import Case
from serving.deploying.laid_out import AGAIN, LaidOut
from serving.deploying.refusals import Refusal, figures
from serving.layout.latency_buckets import counts_latency

HASH = "config_sha256"


def _bytes(case: Case, laid: LaidOut) -> str | None:
    if laid.artifact_sha256 == case.recommended.artifact_sha256:
        return None
    return (
        f"{laid.folder} holds other bytes than were measured: SHA-256 {laid.artifact_sha256}, and the report's is "
        f"{case.recommended.artifact_sha256}; measure the newest export, or lay out the measured one"
    )


def _buckets(case: Case, laid: LaidOut) -> str | None:
    target = case.wanted.target
    if case.recommended.engine != "triton" or laid.counts_latency == counts_latency(target):
        return None
    return (
        f"{laid.folder} was not laid out for Triton {target}; {AGAIN.format(target=target)} "
        "('serving up' lays out for the local server, which knows no latency buckets)"
    )


def _image(case: Case, laid: LaidOut) -> str | None:
    if case.wanted.image or not laid.needs_own_image(case.recommended, case.wanted.target):
        return None
    return (
        f"NVIDIA's image of Triton {case.wanted.target} has no backend for {laid.name}: build one with this project's "
        "(docker/triton.Dockerfile with FRAMEWORKS), push it, and name it with --image"
    )


def _configuration(case: Case, laid: LaidOut) -> str | None:
    measured = case.recommended.configuration
    names = measured.differing(laid.configuration)
    if not names:
        return None
    named = [name for name in names if name != HASH] or names  # the hash differs with each of the others
    return (
        f"it was measured with {_said(measured, named)}, and {laid.folder} is laid out "
        f"with {_said(laid.configuration, named)} (--use tuned.toml, if the report is of one)"
    )


def _said(configuration: Configuration, names: list[str]) -> str:
    return figures({name: getattr(configuration, name) for name in names})


AGAINST_REPOSITORY = (
    Refusal(_bytes, lifted=False),
    Refusal(_buckets, lifted=False),
    Refusal(_image, lifted=False),
    Refusal(_configuration, lifted=True),
)

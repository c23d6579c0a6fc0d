"""Which release of Triton an image holds that somebody made: it says so itself, as NVIDIA's do."""

from __future__ import annotations

from serving.layout.releases import RELEASE
from serving.places.docker import variables_of

VARIABLE = "NVIDIA_TRITON_SERVER_VERSION"  # set by docker/triton-cpu.Dockerfile, inherited by docker/triton.Dockerfile


def release_of(image: str) -> str | None:
    """Like 26.08; None where the image does not say, and where no engine has it, which its start will tell."""
    said = variables_of(image).get(VARIABLE, "")
    return said if RELEASE.match(said) else None

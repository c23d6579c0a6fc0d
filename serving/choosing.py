"""Which servers `serving up` is asked for: one place for all of them, and what is said of a single one goes first.

Pure but for looks at PATH, for TF Serving's binary.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from contract.errors import UsageError
from serving import fleet
from serving.choice import Choice
from serving.engines import tensorflow_serving, triton
from serving.layout.repository import Served
from serving.places.addresses import is_address

TRITON_AT = "http://HOST:8000,grpc://HOST:8001"
TFSERVING_AT = "rest://HOST:8501,grpc://HOST:8500"
PLACES = f"process, docker, or addresses of those that run: {TRITON_AT} and {TFSERVING_AT}, joined by a comma"
# The scheme that only one of the two engines has begins that engine's addresses.
ENGINES = {"http": "triton", "rest": "tfserving"}
BEGINNING = re.compile(rf",(?=(?:{'|'.join(ENGINES)})://)")
NAMES = {"triton": "Triton", "tfserving": "TF Serving"}


@dataclass(frozen=True)
class Ways:
    """How each engine is run: by a name of `engines.triton` and `engines.tensorflow_serving`, or at an address."""

    triton: str = "process"
    tfserving: str = "auto"


def choice_of(options: argparse.Namespace, served: Sequence[Served]) -> Choice:
    """Which servers the flags ask for. Raises UsageError for a way to run one that nobody knows, or that lacks one."""
    own = {engine: getattr(options, engine) for engine in NAMES if getattr(options, engine, None)}
    ways = chosen(getattr(options, "place", None), own, {item.engine for item in served})
    if options.triton_image and ways.triton != "docker":
        raise UsageError(
            f"--triton-image is an image for Docker, and Triton is to run as '{ways.triton}'; say --place docker, or "
            "--triton docker"
        )
    if options.tfserving_ours and not is_address(ways.tfserving):
        raise UsageError(
            f"--tfserving-ours is about a TF Serving at an address, and it is to run as '{ways.tfserving}', which has "
            f"our models alone anyway; leave it out, or say --tfserving {TFSERVING_AT}"
        )
    return Choice(
        triton=ways.triton,
        tfserving=ways.tfserving,
        tfserving_ours=options.tfserving_ours,
        image=options.triton_image,
        one_at_a_time=options.one_at_a_time or fleet.too_many(list(served)),
        restarts=options.restarts,
    )


def chosen(place: str | None, own: dict[str, str], engines: Collection[str]) -> Ways:
    """``place`` for every engine, but ``own`` for those that were named; ``engines`` are those that something needs.

    Raises UsageError for a place that nobody knows or that is not here, for addresses that cannot be read, and for
    those that leave out an engine that is needed.
    """
    ways = {**_of_place(place), **own}
    lacking = [NAMES[engine] for engine in sorted(engines) if place and engine not in ways]
    if lacking:
        raise UsageError(
            f"--place is '{place}', which is no address of {' and '.join(lacking)}, and models are for it: add its "
            f"address ({TRITON_AT}, {TFSERVING_AT}), or say where it runs with --triton or --tfserving"
        )
    found = Ways(**ways)
    triton.check(found.triton)
    tensorflow_serving.check(found.tfserving)
    return found


def _of_place(place: str | None) -> dict[str, str]:
    """The way of each engine that a place says something of."""
    if place is None:
        return {}
    if is_address(place):
        return _of_addresses(place)
    if place == "docker":
        return {"triton": "docker", "tfserving": "docker"}
    if place == "process":
        return {"triton": "process", "tfserving": _tfserving_process()}
    raise UsageError(f"unknown place '{place}': one of {PLACES}")


def _tfserving_process() -> Literal["binary", "embedded"]:
    return "binary" if shutil.which(tensorflow_serving.BINARY) else "embedded"


def _of_addresses(text: str) -> dict[str, str]:
    """Addresses by their engine: each begins with the scheme that only this engine has."""
    found: dict[str, str] = {}
    for part in BEGINNING.split(text):
        scheme = part.partition("://")[0].strip()
        if scheme not in ENGINES:
            raise UsageError(f"--place is '{text}': begin with http:// for Triton or rest:// for TF Serving; {PLACES}")
        if ENGINES[scheme] in found:
            raise UsageError(f"--place names two servers of {NAMES[ENGINES[scheme]]}; there is one of each engine")
        found[ENGINES[scheme]] = part
    return found

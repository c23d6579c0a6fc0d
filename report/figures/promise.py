"""Which stages show what a service promised: one rate, Poisson arrivals, requests whose answers are known. Pure.

Evenly spaced arrivals never meet, so the same server looks better than callers will find it; and an answer that can be
told by its form only may be wrong. Such stages are measured and shown, and nothing is judged on them.
"""

from __future__ import annotations

from contract.records import Plan, Stage
from contract.shapes import Steady

PROMISED = "a steady rate, Poisson arrivals and requests whose answers are known"
LAST_DIGIT = 1e-9  # a planned rate is a mean over its window, computed


def unlike(stage: Stage) -> str:
    """How a stage that keeps one rate differs from what was promised; empty where it does not."""
    shape = stage.shape
    if shape is None:  # Poisson arrivals of the golden batch
        return ""
    if isinstance(shape, Steady) and shape.arrivals != "poisson":
        return f"its arrivals are {shape.arrivals}, promised are Poisson arrivals"
    if shape.payloads.file is not None or shape.payloads.length is not None:
        return f"the answers to its requests ({stage.payloads}) are not known, so they are judged by form only"
    return ""


def shows(stage: Stage) -> bool:
    """Whether the objectives are judged on a stage."""
    return stage.mode == "open" and stage.judged and not unlike(stage)


def reaches(rate: float, other: float) -> bool:
    """Whether a rate is as high as another one, requests per second, but for the last digit."""
    return rate >= other * (1 - LAST_DIGIT)


def unlikenesses(stages: list[Stage]) -> list[str]:
    """What keeps planned stages of one rate from being judged, a sentence each."""
    planned = [(stage.name, unlike(stage)) for stage in stages if stage.mode == "open" and stage.judged]
    return [f"{name}: {why}" for name, why in planned if why]


def missing(plan: Plan) -> str:
    """Why nothing can be concluded from a plan whatever comes of it; empty where something can."""
    shown = [(item.endpoint, stage) for item in plan.variants for stage in item.stages if shows(stage)]
    if not shown:
        return f"has no open-loop stage with {PROMISED} to judge"
    if not any(reaches(stage.rate or 0.0, endpoint.slo.rate) for endpoint, stage in shown):
        return "has no stage at the promised rate to judge"
    return ""

"""What happened to the servers while a stage was measured: where it stands on the stage's seconds. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contract.endpoints import Endpoint
from contract.events import Event
from contract.records import StageObservation
from contract.verdict import Fault
from report.figures.windows import Windows


def faults(events: Sequence[Event], endpoint: Endpoint, rounds: Sequence[StageObservation]) -> list[Fault]:
    """The events of the endpoint's server in the windows; those of older files do not tell when they were."""
    windows = Windows([(seen.window_start_ns, seen.window_end_ns) for seen in rounds])
    timed = [(event.at_ns, event) for event in events if event.engine == endpoint.engine and event.at_ns is not None]
    moments = np.array([moment for moment, _ in timed], dtype=np.int64)
    inside = windows.inside(moments)
    found = [event for (_, event), there in zip(timed, inside, strict=True) if there]
    places = windows.position(moments[inside])
    return [
        Fault(t_s=round(float(place), 3), what=event.what, detail=event.detail)
        for place, event in zip(places, found, strict=True)
    ]

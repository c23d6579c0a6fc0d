"""What a person sees of a curve that is measured: every number with its figures, and what is asked of it now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.scaling import Point
from tests.known_capacity import ENDPOINT, Machine
from tests.test_tune_configure_view import shown
from tests.test_tune_scale_replicas import Fake
from tests.test_tune_scaling import points
from tune.configuration.gauging import Setting
from tune.scale.command import curve
from tune.scale.counting import Counting
from tune.scale.view import DIRECT, CurveView, drawn
from tune.stepwise import HERE

FIRST, SECOND = (point.model_copy(update={"max_rps": 80.0 * point.n}) for point in points(2))


def test_every_number_is_shown_and_the_most_so_far_is_named() -> None:
    heads, *rows = shown(drawn([1, 2, 3, 4], [FIRST, SECOND], None, "instances", "3"))
    assert heads == "instances | answers/s | users | p99 ms | req/s under the SLO | what comes of it"
    assert rows[0].startswith("1 | 100 | 16 | 9.5 | 80")
    assert rows[1].endswith("| 160 | the most so far")
    assert rows[2] == f"{HERE} | 3 | - | - | - | - | is measured"
    assert rows[3] == "4 | - | - | - | - | waits"


def test_what_was_lost_and_what_was_not_found_are_said() -> None:
    lost = FIRST.model_copy(update={"invalid": "replica 1 died", "max_rps": None})
    none = SECOND.model_copy(update={"max_rps": None, "reason": "no rate kept them"})
    rows = shown(drawn([1, 2], [lost, none], None, "replicas", ""))[1:]
    assert rows[0].endswith("replica 1 died") and rows[1].endswith("no rate kept them")


class Recording(CurveView):
    """Remembers what it is told."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(numbers, 2, "replicas")
        self.told: list[str] = []

    def begins(self, what: str) -> None:
        self.told.append(what)
        super().begins(what)

    def over(self, points: Sequence[Point], direct: Point | None) -> None:
        self.told.append(f"{len(points)} done{', the direct one too' if direct else ''}")
        super().over(points, direct)


def test_a_curve_tells_its_view_of_every_number_before_and_after_it(tmp_path: Path) -> None:
    loading = Machine(tmp_path, lambda batching: 400.0 * batching.instances)
    counting = Counting(loading, Fake(loading), Setting("rate", tmp_path, in_flight=64), users=(4, 16))
    with Recording([1, 2]) as view:
        curve(counting, Fake(loading), ENDPOINT, [1, 2], tmp_path, view)
    assert view.told == [
        "1",
        "1 done",
        DIRECT,
        "1 done, the direct one too",
        "2",
        "2 done, the direct one too",
    ]

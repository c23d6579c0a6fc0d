"""A scaling curve is measured point by point, always told, and predicted from only where nothing was shared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.errors import UsageError
from contract.load import Affinity
from contract.scaling import Point, Scaling
from tests.builders import config, endpoint
from tune.scale.command import numbers_of, scaling, shared_cores, told

ENDPOINT = endpoint()


def points(largest: int, **changes: Any) -> list[Point]:
    """Throughput by the law with sigma 0.1 and kappa 0.02."""
    found = []
    for n in range(1, largest + 1):
        rate = 100 * n / (1 + 0.1 * (n - 1) + 0.02 * n * (n - 1))
        fields: dict[str, Any] = {
            "n": n,
            "variant": f"x{n}",
            "closed_rps": rate,
            "users": 16,
            "p99_ms": 9.5,
            "max_rps": 80.0,
        }
        found.append(Point(**(fields | changes)))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1..5", [1, 2, 3, 4, 5]), ("2..2", [2]), ("4,1,2,1", [1, 2, 4]), ("3", [3]), ("1, 2", [1, 2])],
)
def test_numbers_are_a_range_or_a_list(text: str, expected: list[int]) -> None:
    assert numbers_of(text) == expected


@pytest.mark.parametrize("text", ["", "0..3", "5..1", "a,b", "1..", "-1", "1.5"])
def test_what_is_no_number_of_instances_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--instances is"):
        numbers_of(text)


@pytest.mark.parametrize(
    ("affinity", "address", "shared"),
    [
        (Affinity(), "127.0.0.1:8000", True),
        (Affinity(servers=[0]), "127.0.0.1:8000", True),
        (Affinity(servers=[0], load=[1]), "127.0.0.1:8000", False),
        (Affinity(), "10.0.0.7:8000", False),
    ],
)
def test_cores_are_shared_unless_each_side_has_its_own(affinity: Affinity, address: str, shared: bool) -> None:
    assert bool(shared_cores(config(affinity=affinity), endpoint(address=address))) is shared


def test_five_points_with_cores_of_their_own_are_fitted() -> None:
    found = scaling(ENDPOINT, points(5), shared="", complete=True)
    assert found.prediction is not None
    assert found.prediction.sigma == pytest.approx(0.1) and found.prediction.kappa == pytest.approx(0.02)
    assert found.prediction.peak == pytest.approx((0.9 / 0.02) ** 0.5)


@pytest.mark.parametrize(
    ("largest", "shared", "words"), [(4, "", "4 different numbers"), (6, "everything shares 2 cores", "2 cores")]
)
def test_elsewhere_the_points_stay_and_the_reason_is_told(largest: int, shared: str, words: str) -> None:
    found = scaling(ENDPOINT, points(largest), shared, complete=True)
    assert found.prediction is None and words in found.reason
    assert [point.n for point in found.points] == list(range(1, largest + 1))
    assert json.loads(found.model_dump_json())["prediction"] is None


def test_a_record_is_read_as_it_was_written() -> None:
    found = scaling(ENDPOINT, points(5), shared="", complete=False)
    assert Scaling.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["instances 1:", "100/s with 16 users", "p99 9.5 ms", "80/s under the objectives"]),
        ({"max_rps": None, "reason": "no rate kept them"}, ["no rate kept them"]),
        ({"p99_ms": None}, ["16 users; "]),
    ],
)
def test_a_point_is_told_in_one_line(changes: dict[str, Any], words: list[str]) -> None:
    line = told(points(1, **changes)[0])
    assert all(word in line for word in words) and "\n" not in line

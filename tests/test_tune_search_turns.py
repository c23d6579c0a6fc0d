"""All searches of a run: turns, what is written after every step, and what a failing server or Ctrl-C leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contract.errors import ServerError
from contract.files import read_model, write_json
from contract.records import Observation, Stage, StageObservation, VariantPlan
from contract.search import FILE, Search
from loadtest.master.asking import Measured
from tests.builders import SECOND, endpoint, records
from tune.search.max_rate import MaxRate
from tune.search.method import Method
from tune.search.seeking import Seeker
from tune.search.turns import in_turns, seek

METHOD = Method(users=(16,))
REQUESTS = 500
Hook = Callable[[str, Stage], None]


class FakeSession:
    """Servers that are fast up to 900 requests per second. Before each stage ``hook`` may fail."""

    def __init__(self, results: Path, hook: Hook = lambda variant, stage: None) -> None:
        self.asked: list[tuple[str, Stage]] = []
        self._results = results
        self._hook = hook

    def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured:
        self._hook(variant_id, stage)
        number = sum(variant == variant_id for variant, _ in self.asked)
        self.asked.append((variant_id, stage))
        assert early == (stage.purpose != "knee")
        if stage.purpose == "confirm":
            self._write(variant_id, number)
        slow = 0.5 if (stage.rate or 0) > 900 else 0.0
        return Measured(
            stage=number,
            due=2000,
            failed=0,
            over={"p99": round(slow * 2000)},
            late=0,
            good=2000,
            answered_rps=1000.0,
            client_cpu=0.1,
            lost=[],
            aborted=False,
            cut="",
            window_s=stage.duration_s,
            seconds=stage.duration_s + 1,
        )

    def _write(self, variant: str, number: int) -> None:
        """Records of a second, all of them answered within 5 ms."""
        rows = [(millisecond, millisecond, millisecond + 5) for millisecond in range(0, 2 * REQUESTS, 2)]
        pq.write_table(records(rows, number, variant), self._results / f"requests-{variant}-0-00000.parquet")
        seen = StageObservation(
            stage=number, window_start_ns=0, window_end_ns=SECOND, client_cpu=0.1, server=None, rate=500.0
        )
        observed = Observation(schema_version=1, variant=variant, complete=True, stages=[seen])
        write_json(self._results / f"server-stats-{variant}.json", observed)


def seekers(results: Path, *names: str) -> list[Seeker]:
    made = []
    for name in names:
        item = VariantPlan(id=name, endpoint=endpoint(), stages=[], repeat_of=None)
        made.append(Seeker(item, MaxRate(item.endpoint.slo, METHOD), results, METHOD.warmup_s, in_flight=64))
    return made


def written(results: Path) -> Search:
    return read_model(results / FILE, Search, "python -m tune search")


def test_every_variant_has_one_step_in_each_turn_until_it_is_over(tmp_path: Path) -> None:
    session = FakeSession(tmp_path)
    seek(seekers(tmp_path, "a", "b"), session, METHOD, tmp_path)
    assert [variant for variant, _ in session.asked] == ["a", "b"] * (len(session.asked) // 2)
    search = written(tmp_path)
    assert search.complete and [found.variant for found in search.found] == ["a", "b"]
    assert search.found[0].value == search.found[1].value
    assert search.grid_seconds > 3 * sum(found.seconds for found in search.found)


def test_where_models_are_loaded_a_search_ends_before_the_next_one_begins(tmp_path: Path) -> None:
    session = FakeSession(tmp_path)
    seek(seekers(tmp_path, "a", "b"), session, METHOD, tmp_path, one_by_one=True)
    names = [variant for variant, _ in session.asked]
    assert names == sorted(names)


def test_the_confirmed_stage_is_named_and_its_records_carry_the_claim(tmp_path: Path) -> None:
    session = FakeSession(tmp_path)
    seek(seekers(tmp_path, "a"), session, METHOD, tmp_path)
    found = written(tmp_path).found[0]
    assert found.confirmed is not None
    stage = session.asked[found.confirmed][1]
    assert (stage.purpose, stage.rate, stage.judged) == ("confirm", found.value, True)
    assert [probe.purpose for probe in found.probes if probe.stage == found.confirmed] == ["confirm"]


def test_a_server_that_fails_is_left_out_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(variant: str, stage: Stage) -> None:
        if variant == "a" and stage.purpose == "probe":
            raise ServerError("a is gone")

    both = seekers(tmp_path, "a", "b")
    seek(both, FakeSession(tmp_path, fail), METHOD, tmp_path)
    search = written(tmp_path)
    assert (search.found[0].value, search.found[0].limited_by) == (None, "server")
    assert search.found[1].value is not None
    assert both[0].failure == "a is gone"
    assert "a  left out: a is gone" in capsys.readouterr().err


def test_what_was_found_before_ctrl_c_is_kept_and_says_that_it_is_not_complete(tmp_path: Path) -> None:
    def interrupt(variant: str, stage: Stage) -> None:
        if variant == "b" and stage.purpose == "confirm":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seek(seekers(tmp_path, "a", "b"), FakeSession(tmp_path, interrupt), METHOD, tmp_path)
    search = written(tmp_path)
    assert not search.complete
    assert search.found[0].value is not None
    assert (search.found[1].value, search.found[1].limited_by) == (None, "")
    assert len(search.found[1].probes) > 3


def test_turns_end_when_nothing_is_left_to_measure(tmp_path: Path) -> None:
    over = seekers(tmp_path, "a")
    over[0].failure = "gone"
    assert list(in_turns(over, one_by_one=False)) == []


def test_when_the_time_is_up_what_is_kept_is_confirmed(tmp_path: Path) -> None:
    session = FakeSession(tmp_path)
    seek(seekers(tmp_path, "a"), session, METHOD, tmp_path, budget_s=1.0)
    purposes = [stage.purpose for _, stage in session.asked]
    assert purposes == ["knee", "probe", "confirm"]


@pytest.mark.parametrize(("budget_s", "told"), [(1e-6, True), (1e6, False), (None, False)])
def test_a_budget_that_was_overrun_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], budget_s: float | None, told: bool
) -> None:
    seek(seekers(tmp_path, "a"), FakeSession(tmp_path), METHOD, tmp_path, budget_s=budget_s)
    assert ("budget spent: " in capsys.readouterr().err) is told

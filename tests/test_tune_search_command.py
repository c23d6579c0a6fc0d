"""`python -m tune search` as a person types it, against a null server that answers after a known delay."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.files import read_model, write_json
from contract.records import Plan
from contract.search import FILE, Search
from tests.builders import endpoint, endpoints, wait_until
from tests.conftest import ROOT
from tests.null_latency import Nulled, null_latency

pytestmark = [pytest.mark.e2e]

QUICK = ["--uncertified", "--resolution", "0.2", "--probe-s", "1.5", "--confirm-s", "3"]
TOP = 300.0


@pytest.fixture(scope="module")
def nulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nulled]:
    with null_latency(tmp_path_factory.mktemp("null"), "http", "--delay-ms", "5") as running:
        running.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=100.0)
        yield running


def command(root: Path, *words: str) -> list[str]:
    whole = [sys.executable, "-m", "tune", "search", "--workspace", str(root), "--config", str(root / "models.toml")]
    return [*whole, *words]


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(root, *words), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.alone
def test_the_highest_rate_below_the_ceiling_is_found_confirmed_and_reported(nulled: Nulled) -> None:
    name = nulled.endpoint.id
    done = run(nulled.root, *QUICK, "--variant", name, "--max-rps", f"{TOP:g}")
    assert done.returncode == 0, done.stderr
    search = read_model(nulled.results / FILE, Search, "python -m tune search")
    found = search.of(name)
    assert found is not None and search.complete
    assert found.value is not None and found.confirmed is not None
    assert found.value <= TOP
    plan = read_model(nulled.results / "plan.json", Plan, "python -m tune search")
    stages = plan.variants[0].stages
    assert (plan.load_plan, plan.max_rps, plan.attempts) == ("search", TOP, 1)
    assert [stage.purpose for stage in stages[:3]] == ["knee", "knee", "probe"]
    confirmed = stages[found.confirmed]
    assert (confirmed.purpose, confirmed.judged, confirmed.rate) == ("confirm", True, found.value)
    assert confirmed.duration_s >= 3
    assert f"{found.value:g}/s confirmed" in done.stderr and "1 search, about" in done.stderr
    assert (nulled.root / "reports" / plan.id / "report.json").is_file()


def test_ctrl_c_leaves_what_was_found_and_a_folder_that_can_be_judged(nulled: Nulled) -> None:
    name = nulled.endpoint.id
    words = command(nulled.root, *QUICK, "--variant", name, "--max-rps", "60", "--confirm-s", "60")
    before = nulled.results if (nulled.root / "results").exists() else None
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as search:
        assert wait_until(lambda: nulled_results(nulled, before) is not None and probed(nulled), 60)
        search.send_signal(signal.SIGINT)
        _, told = search.communicate(timeout=60)
    assert search.returncode == 130, told
    judging = f"python -m report {nulled.results} --workspace {nulled.root}"
    assert f"is kept in {nulled.results}; " in told and judging in told
    assert not read_model(nulled.results / FILE, Search, "python -m tune search").complete
    judged = subprocess.run(
        [sys.executable, "-m", "report", str(nulled.results), "--workspace", str(nulled.root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert judged.returncode == 0, judged.stderr


def nulled_results(nulled: Nulled, before: Path | None) -> Path | None:
    """The folder of a run that is not ``before``."""
    latest = nulled.root / "results" / "latest"
    return latest.resolve() if latest.exists() and latest.resolve() != before else None


def probed(nulled: Nulled) -> bool:
    """Whether the newest search has judged a first rate."""
    file = nulled.results / FILE
    return file.is_file() and bool(read_model(file, Search, "python -m tune search").found[0].probes)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--resolution", "0"], "--resolution is 0; it is a share from 0.005 to 0.5"),
        (["--confirm-s", "0.1"], "--confirm-s 0.1; a window of less than 1.5 s says nothing"),
        (["--max-rps", "0"], "--max-rps is 0; it is a rate above 0"),
        (["--variant", "word"], "no endpoint 'word' is up"),
        ([], "every endpoint that is up is embedded; name those to search with --variant"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_sent(
    nulled: Nulled, words: list[str], sentence: str
) -> None:
    known = set((nulled.root / "results").glob("*"))
    done = run(nulled.root, *words)
    assert done.returncode == 2 and sentence in done.stderr
    assert set((nulled.root / "results").glob("*")) == known


def test_a_budget_that_is_too_short_is_refused(nulled: Nulled) -> None:
    done = run(nulled.root, *QUICK, "--variant", nulled.endpoint.id, "--budget-s", "5")
    assert done.returncode == 2 and "--budget-s 5 is too short: " in done.stderr


def test_a_host_beyond_this_machine_is_refused_until_it_is_named(nulled: Nulled, tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    away = nulled.endpoint.model_copy(update={"address": "triton.example:8000"})
    write_json(tmp_path / "live" / "endpoints.json", endpoints(away, servers=[]))
    for path in (nulled.root / "live" / "payloads", nulled.root / "artifacts"):
        target = tmp_path / path.relative_to(nulled.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    (tmp_path / "models.toml").write_bytes((nulled.root / "models.toml").read_bytes())
    done = run(tmp_path, "--variant", endpoint(protocol="http").id)
    assert done.returncode == 2 and "--allow-host triton.example" in done.stderr

"""Runs of the real load command against servers whose latency is known, compared: the same again, and a slower one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.files import write_text
from tests.known_latency import known_latency
from tune.comparison.command import main

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone]

DELAY_MS, SLOWER_MS = 5.0, 7.0
LIMIT_S = 120


def measured(root: Path, delay_ms: float) -> Path:
    """A run of five rounds against a server of its own."""
    with known_latency(root, delay_ms) as known:
        known.configure(concurrency=[4], closed_s=7.5, open_s=7.5, rate=100.0)
        file = root / "models.toml"
        write_text(file, file.read_text().replace("rounds = 1\nattempts = 1\n", "rounds = 5\nattempts = 3\n"))
        process = known.start()
        try:
            _, errors = process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0, errors
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        return known.newest()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(tmp_path_factory.mktemp("base"), DELAY_MS)


def compared(capsys: pytest.CaptureFixture[str], base: Path, new: Path, min_effect: str) -> tuple[int, dict[str, Any]]:
    code = main([str(base), str(new), "--json", "--min-effect", min_effect])
    return code, {item["figure"]: item for item in json.loads(capsys.readouterr().out)["figures"]}


def test_a_server_that_became_slower_is_a_regression_of_that_size(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, figures = compared(capsys, base, measured(tmp_path, SLOWER_MS), "5%")
    assert code == 1
    assert (figures["p50"]["outcome"], figures["throughput"]["outcome"]) == ("regression", "regression")
    # What the load generator and the wire add is the same for both, so the whole grows by less than the server.
    assert 0.2 < figures["p50"]["change"]["estimate"] < SLOWER_MS / DELAY_MS - 1 + 0.05


def test_the_same_server_again_is_no_regression(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, figures = compared(capsys, base, measured(tmp_path, DELAY_MS), "15%")
    assert code == 0
    assert figures["p50"]["outcome"] == "no difference"

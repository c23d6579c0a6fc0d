"""What Locust's page shows: its own statistics in bulk, and exact percentiles with the SLO's line beside them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from contract.records import Stage, VariantPlan
from contract.slo import Slo
from contract.statistics import PERCENTILES, order_statistic
from loadtest.showing.address import address
from loadtest.showing.course import LOOKS
from loadtest.showing.live import validity
from loadtest.showing.page import Page
from tests.builders import endpoint, free_port, wait_until
from tests.conftest import ROOT
from tests.known_latency import known_latency

OPEN = Stage(name="open-100", mode="open", concurrency=None, rate=100, duration_s=1, warmup_s=0, in_flight=9)


class Entry:
    """Of Locust's statistics what the page needs. Locust itself would exchange the sockets of this whole process."""

    def __init__(self, *_: object) -> None:
        pass

    def log(self, *_: object) -> None:
        pass

    def extend(self, _: Entry) -> None:
        pass


class Stats:
    total = Entry()

    def get(self, *_: str) -> Entry:
        return self.total

    def log_error(self, *_: str) -> None:
        pass


def page_of(stage: Stage = OPEN) -> Page:
    page = Page(Stats())
    item = endpoint(slo=Slo(rate=100, p99_ms=20, error_rate=0.01))
    page.enter(VariantPlan(id=item.id, endpoint=item, stages=[stage], repeat_of=None), stage)
    return page


COMPARED = """
import random
from locust.stats import RequestStats
from loadtest.showing.page import METHOD, Page
ours, theirs = RequestStats(), RequestStats()
page, drawn = Page(ours), random.Random(5)
for number in range(500):
    ms, size, error = drawn.expovariate(0.01), drawn.randrange(1000), "timeout" if number % 50 == 0 else ""
    page.tell("open-100", ms, size, error, False)
    theirs.log_request(METHOD, "open-100", ms, size)
    if error:
        theirs.log_error(METHOD, "open-100", error)
page.flush()
for name in ("num_requests", "num_failures", "total_content_length", "min_response_time", "max_response_time"):
    assert getattr(ours.total, name) == getattr(theirs.total, name), name
assert ours.get("open-100", METHOD).response_times == theirs.get("open-100", METHOD).response_times
assert {error.error: error.occurrences for error in ours.errors.values()} == {"timeout": 10}
print("the same")
"""


def test_requests_that_are_told_in_bulk_are_counted_as_locust_counts_them_one_by_one() -> None:
    ended = subprocess.run([sys.executable, "-c", COMPARED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout == "the same\n", ended.stderr


def test_percentiles_are_exact_and_not_rounded_as_locusts_are() -> None:
    page = page_of()
    for number in range(1000):
        page.tell("open-100", 1.234 + number / 1000, 1, "", False)
    page.flush()
    text = page.html()
    assert "<td>p50</td><td>1.733 ms</td>" in text
    assert "<td>p99</td><td>2.223 ms</td>" in text


@pytest.mark.parametrize(
    ("ms", "failures", "words"),
    [
        (5.0, 0, "so far kept"),
        (25.0, 0, "so far missed"),
        (5.0, 5, "so far missed: p99 5.00 of at most 20 ms, errors 4.7"),
    ],
)
def test_the_line_of_the_slo_says_whether_it_is_kept_so_far(ms: float, failures: int, words: str) -> None:
    page = page_of()
    for _ in range(100):
        page.tell("open-100", ms, 1, "", False)
    for _ in range(failures):
        page.tell("open-100", ms, 1, "refused", False)
    page.flush()
    assert words in page.html()


def test_how_a_stage_goes_is_told_to_one_per_cent_with_its_late_sends() -> None:
    page = page_of()
    assert page.live() is not None and page.live().kept is None  # type: ignore[union-attr]
    for number in range(1000):
        page.tell("open-100", 1.0 + number / 100, 1, "refused" if number % 100 == 0 else "", number < 30)
    page.flush()
    live = page.live()
    assert live is not None
    good = [1.0 + number / 100 for number in range(1000) if number % 100]
    for name, share in PERCENTILES.items():
        exact = order_statistic(np.array(good), share)
        assert exact <= live.latency_ms[name] <= 1.0101 * exact, name
    assert (live.good, live.failed, live.late, live.kept) == (990, 10, 30, True)
    assert live.rate_rps > 0


def test_rate_late_sends_and_validity_are_those_of_the_terminal() -> None:
    page = page_of()
    assert "<p>nothing was answered yet</p>" in page.html()
    for number in range(1000):
        page.tell("open-100", 5.0, 1, "", number < 30)
    page.flush()
    live, text = page.live(), page.html()
    assert live is not None
    assert f"<td>good answers per second</td><td>{live.rate_rps:,.0f}</td>" in text
    assert "<td>sent late</td><td>30</td>" in text
    assert f"<p>{validity(live)}</p>" in text and "<p>valid so far</p>" in text
    for _ in range(30):
        page.tell("open-100", 5.0, 1, "", True)
    page.flush()
    assert "<p>INVALID so far: 5.8% were sent late, 5% are allowed</p>" in page.html()


def test_however_many_look_at_the_rate_they_see_the_same() -> None:
    page = page_of()
    for _ in range(1000):
        page.tell("open-100", 5.0, 1, "", False)
    page.flush()
    looks = []
    for _ in range(2 * LOOKS):
        page.html()
        live = page.live()
        assert live is not None
        looks.append(live.rate_rps)
    assert looks[0] > 0 and set(looks) == {looks[0]}


def test_another_stage_begins_with_nothing() -> None:
    page = page_of()
    page.tell("open-100", 5.0, 1, "", False)
    page.enter(*page_of()._stage)  # type: ignore[misc]
    assert "<td>good answers</td><td>0</td>" in page.html()


def test_a_masters_page_is_exact_over_all_its_load_processes() -> None:
    master, workers = page_of(), [page_of(), page_of()]
    for number in range(200):
        workers[number % 2].tell("open-100", float(number), 1, "", False)
    for worker in workers * 2:  # each tells only what is new
        data: dict[str, object] = {}
        worker.report(data)
        master.hear(data)
    assert "<td>good answers</td><td>200</td>" in master.html()
    assert "<td>p50</td><td>99.000 ms</td>" in master.html()


def test_names_are_escaped() -> None:
    page = page_of(OPEN.model_copy(update={"name": "<script>"}))
    assert "<script>" not in page.html()


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({}, "http://127.0.0.1:8089/slo"),
        ({"web_host": "*"}, "http://127.0.0.1:8089/slo"),
        ({"web_host": "10.0.0.5", "web_port": 80}, "http://10.0.0.5:80/slo"),
        ({"web_host": "::1", "web_base_path": "/load"}, "http://[::1]:8089/load/slo"),
        ({"tls_cert": "a", "tls_key": "b"}, "https://127.0.0.1:8089/slo"),
    ],
)
def test_the_address_of_the_page_follows_from_locusts_own_options(said: dict[str, object], url: str) -> None:
    usual = {"web_host": "127.0.0.1", "web_port": 8089, "web_base_path": "", "tls_cert": "", "tls_key": ""}
    assert address(SimpleNamespace(**usual | said)) == url


@pytest.mark.e2e
def test_locust_started_by_hand_plans_a_run_measures_it_and_shows_the_page(tmp_path: Path) -> None:
    with known_latency(tmp_path, 3.0) as known:
        known.configure(concurrency=[2], closed_s=0.5, open_s=30.0, rate=100.0)
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            str(ROOT / "loadtest" / "locustfile.py"),
            "--autostart",
            "--autoquit",
            "0",
        ]
        command += ["--live", str(tmp_path / "live"), "--web-port", str(port)]
        child = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
        )
        try:

            def shown() -> bool:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/slo", timeout=5) as answer:
                        text = answer.read().decode()
                except (urllib.error.URLError, OSError):
                    return False
                found = re.search(r"<td>p50</td><td>([\d.]+) ms", text)
                rate = re.search(r"<td>good answers per second</td><td>[1-9]", text)
                answered = found is not None and 3.0 <= float(found[1]) < 10.0
                return "open-100" in text and answered and rate is not None

            assert wait_until(shown, 30)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                assert '"extended_csv_files": [{"href": "/slo"' in answer.read().decode()  # which it makes a link of
            listening = [c.laddr.ip for c in psutil.Process(child.pid).net_connections("tcp") if c.status == "LISTEN"]
            assert set(listening) == {"127.0.0.1"}  # though Locust's own default is every interface
        finally:
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=30)
        assert f": http://127.0.0.1:{port}/slo\n" in errors
        assert (known.newest() / "server-stats-words__onnx__triton__http.json").is_file()

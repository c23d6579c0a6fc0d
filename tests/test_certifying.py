"""The load generator's certificate: its ceiling, whose it is, what the client adds, and when it is measured again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.certificate import MOST_OF_CEILING, Certificate, Certificates, size_class
from contract.client import Client
from contract.config import read_config
from contract.errors import LoadproofError, ServerError, UsageError
from contract.files import read_model, write_json, write_text
from contract.load import Load
from contract.records import Plan, StageObservation
from loadtest.certification import figures
from loadtest.certification.asking import ask, what_is_sent
from loadtest.certification.command import line, main
from loadtest.certification.null_server import NullServer
from loadtest.certification.self_made import self_made
from loadtest.certification.store import certificates_for, setting_of
from tests.builders import MACHINE, SECOND, config, endpoint, endpoints, records, workspace
from tests.certificates import certificate, setting
from tests.known_latency import TOML
from tests.null_latency import BODY, Nulled, null_latency

ONE_SECOND = StageObservation(
    stage=0, window_start_ns=1 * SECOND, window_end_ns=2 * SECOND, client_cpu=0.9, server=None
)


@pytest.mark.parametrize(
    ("size", "bound"), [(0, 256), (256, 256), (256.5, 512), (512, 512), (513, 1024), (3_000_000, 4_194_304)]
)
def test_a_size_class_is_the_power_of_two_that_it_fits_into(size: float, bound: int) -> None:
    assert size_class(size) == bound


@pytest.mark.parametrize(
    "change",
    [
        {"machine": MACHINE.model_copy(update={"processor": "another"})},
        {"versions": {"locust": "2.48.0"}},
        {"code": "ba9876543210"},
        {"protocol": "grpc"},
        {"request_class": 1024},
        {"answer_class": 512},
        {"client": Client(calls_per_channel=1)},
        {"client": Client(tls=True)},
        {"concurrency": 32},
        {"processes": 2},
        {"cores": [1]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_the_figures_depend_on_makes_another_certificate(change: dict[str, Any]) -> None:
    assert setting().key == setting().key
    assert setting(**change).key != setting().key


def test_the_ceiling_counts_the_answers_of_the_window() -> None:
    rows = [(at, at, at + 4.0) for at in range(0, 3000, 2)]  # answers from 4 ms on, every 2 ms
    assert figures.ceiling(records(rows), ONE_SECOND) == 500.0


def test_a_ceiling_with_failures_is_none() -> None:
    with pytest.raises(LoadproofError, match=r"failed \(ConnectionRefusedError, http 500\)"):
        figures.ceiling(records([(0.0, 0.0, 1.0)] * 3, errors={0: "http 500", 2: "ConnectionRefusedError"}), ONE_SECOND)


@pytest.mark.parametrize(
    ("client_cpu", "server_cpu", "whose"),
    [
        (0.99, 0.3, "client"),
        (0.8, 0.81, "null server"),
        (0.8, 0.8, "client"),
        (0.79, 0.5, "machine"),
        (0.5, 0.79, "machine"),
    ],
)
def test_the_ceiling_is_that_of_the_busier_process_if_it_was_busy(
    client_cpu: float, server_cpu: float, whose: str
) -> None:
    assert figures.ceiling_of(client_cpu, server_cpu) == whose


def test_what_is_added_is_what_the_server_does_not_know_of() -> None:
    # Sent 1 ms late, held for 5 ms, there 0.25 ms before the answer and 0.5 ms after it.
    rows = [(at, at + 1.0, at + 6.75) for at in range(0, 3000, 10)]
    seen = np.array([[(at + 1.25) * 1e6, (at + 6.25) * 1e6] for at in range(0, 3000, 10)]).astype(np.int64)
    found = figures.added(100.0, figures.match(records(reversed(rows)), ONE_SECOND, seen))
    assert found.requests == 100  # those of the window
    assert (found.server_p50_ms, found.p50_ms, found.p99_ms) == (5.0, 1.75, 1.75)
    assert (found.sent_late_p50_ms, found.sent_late_p99_ms) == (1.0, 1.0)


def test_each_request_is_put_beside_its_own_delay_whatever_came_back_first() -> None:
    rows = [(1000.0 + i, 1000.0 + i, 1000.5 + i + (50.0 if i % 2 else 5.0)) for i in range(100)]
    seen = np.array([[(sent + 0.25) * 1e6, (done - 0.25) * 1e6] for _, sent, done in rows]).astype(np.int64)
    by_answer = sorted(rows, key=lambda row: row[2])
    matched = figures.match(records(by_answer), ONE_SECOND, seen)
    assert np.allclose(matched.added, 0.5)
    assert set(np.round(matched.server, 6)) == {5.0, 50.0}


def test_requests_that_only_one_side_knows_cannot_be_compared() -> None:
    with pytest.raises(LoadproofError, match="the client recorded 2 requests and the null server saw 1"):
        figures.match(records([(0, 0, 1), (1, 1, 2)]), ONE_SECOND, np.zeros((1, 2), np.int64))


def test_a_window_without_requests_adds_nothing_that_could_be_told() -> None:
    matched = figures.match(records([]), ONE_SECOND, np.zeros((0, 2), np.int64))
    with pytest.raises(LoadproofError, match="no request was sent in the window"):
        figures.added(100.0, matched)


def test_the_null_servers_processor_time_is_that_of_the_window(tmp_path: Path) -> None:
    server = NullServer("127.0.0.1:1", tmp_path, None, [(0, 1.0), (SECOND, 1.1), (3 * SECOND, 2.1)])
    assert server.cpu(SECOND, 3 * SECOND) == pytest.approx(0.5)
    assert server.cpu(0, 2 * SECOND) == pytest.approx(0.3)


@pytest.fixture(scope="module")
def nulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nulled]:
    """A null server in the place of the endpoint that is certified for."""
    with null_latency(tmp_path_factory.mktemp("live"), "http", "--delay-ms", "1") as running:
        running.configure(concurrency=[1, 8], closed_s=1.0, open_s=1.0, rate=50.0)
        yield running


@pytest.fixture(scope="module")
def certified(nulled: Nulled) -> Certificates:
    """The real command, for the first time."""
    result = nulled.run("certify", "--json")
    assert result.returncode == 0, result.stderr
    return Certificates.model_validate_json(result.stdout)


def stored(nulled: Nulled) -> list[Path]:
    return sorted((nulled.root / "certificates").glob("*.json"))


@pytest.mark.e2e
@pytest.mark.slow
class TestCommand:
    def test_it_measures_with_the_endpoints_own_sizes_and_enough_users(
        self, nulled: Nulled, certified: Certificates
    ) -> None:
        (certificate,) = certified.certificates.values()
        assert certified.of(nulled.endpoint.id) == certificate
        assert certificate.answer_bytes == len(BODY)
        assert certificate.request_bytes == round(
            what_is_sent(nulled.root / "live" / nulled.endpoint.payloads).mean_bytes
        )
        assert (certificate.setting.concurrency, certificate.setting.processes) == (16, 1)

    def test_the_client_and_not_the_null_server_is_the_limit_over_http(self, certified: Certificates) -> None:
        (certificate,) = certified.certificates.values()
        assert certificate.ceiling_of != "null server"
        assert 0.0 < certificate.server_cpu < certificate.client_cpu
        assert certificate.ceiling_rps > 2000.0

    def test_the_open_loop_has_a_ceiling_of_its_own_below_the_closed_loops(self, certified: Certificates) -> None:
        (certificate,) = certified.certificates.values()
        opened = certificate.open_ceiling
        if opened is None:  # beside neighbours as busy as that nobody can tell: then the closed loop's is what counts
            assert certificate.trusted_rps == MOST_OF_CEILING * certificate.ceiling_rps
        else:
            assert certificate.ceiling_of != "machine"
            assert certificate.ceiling_rps / 16 < opened.rps < certificate.ceiling_rps
            assert certificate.trusted_rps == MOST_OF_CEILING * opened.rps

    def test_the_known_delay_was_held_and_the_client_adds_something_to_it(self, certified: Certificates) -> None:
        (certificate,) = certified.certificates.values()
        added = certificate.added
        assert added.requests > 400
        assert added.server_p50_ms >= 5.0
        assert 0.0 < added.p50_ms < 3.0
        assert added.sent_late_p50_ms <= added.p50_ms <= added.p99_ms

    def test_what_was_measured_is_kept_and_used_again(self, nulled: Nulled, certified: Certificates) -> None:
        (file,) = stored(nulled)
        before = file.stat().st_mtime_ns
        (certificate,) = certified.certificates.values()
        assert read_model(file, Certificate, "certify") == certificate
        result = nulled.run("certify")
        assert result.returncode == 0, result.stderr
        assert result.stdout == line(certificate) + "\n"
        assert file.stat().st_mtime_ns == before

    def test_again_measures_anew(self, nulled: Nulled, certified: Certificates) -> None:
        result = nulled.run("certify", "--again", "--json")
        assert result.returncode == 0, result.stderr
        again = Certificates.model_validate_json(result.stdout)
        assert again.endpoints == certified.endpoints
        assert (
            json.loads(stored(nulled)[0].read_text())
            == json.loads(result.stdout)["certificates"][stored(nulled)[0].stem]
        )
        assert again != certified


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_endpoint_under_tls_is_certified_under_tls(tmp_path: Path, protocol: Any) -> None:
    with null_latency(tmp_path, protocol, tls=True) as nulled:
        nulled.configure(concurrency=[4], closed_s=1.0, open_s=1.0, rate=50.0)
        result = nulled.run("certify", "--json")
        assert result.returncode == 0, result.stderr
        (found,) = Certificates.model_validate_json(result.stdout).certificates.values()
        assert found.setting.client == Client(tls=True)  # whose certificates they were changes no ceiling
        plan = next((tmp_path / "certificates").glob("*/attempt-*/plan.json"))
        used = read_model(plan, Plan, "certify").client
        assert used.tls and used.ca is not None and used.ca.is_relative_to(plan.parent)
        assert found.ceiling_rps > 1000.0
        assert found.added.server_p50_ms >= 5.0 and 0.0 < found.added.p50_ms < 3.0


@pytest.fixture(scope="module")
def in_place_of_a_broken_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Path]:
    """What ``--tls`` measures for a plain endpoint, and the file, in which something was that is no certificate."""
    root = tmp_path_factory.mktemp("broken")
    with null_latency(root, "http") as nulled:
        nulled.configure(concurrency=[4], closed_s=1.0, open_s=1.0, rate=50.0)
        ask(nulled.endpoint, root / "live", Client(), root / "asked.bin")
        wanted = setting_of(
            nulled.endpoint, root / "live", root / "asked.bin", read_config(root / "models.toml"), tls=True
        )
        file = root / "certificates" / f"{wanted.key}.json"
        write_text(file, '{"schema_version": 0}')
        result = nulled.run("certify", "--tls", "--json")
    assert result.returncode == 0, result.stderr
    return Certificates.model_validate_json(result.stdout), file


@pytest.mark.e2e
@pytest.mark.slow
def test_a_ceiling_under_tls_can_be_had_where_the_endpoints_are_plain(
    in_place_of_a_broken_one: tuple[Certificates, Path],
) -> None:
    (found,) = in_place_of_a_broken_one[0].certificates.values()
    assert found.setting.client.tls


@pytest.mark.e2e
@pytest.mark.slow
def test_a_certificate_that_cannot_be_read_is_measured_anew(
    in_place_of_a_broken_one: tuple[Certificates, Path],
) -> None:
    found, file = in_place_of_a_broken_one
    (certificate,) = found.certificates.values()
    assert list(file.parent.glob("*.json")) == [file]
    assert read_model(file, Certificate, "certify") == certificate


def test_without_openssl_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadproofError, match=r"openssl cannot be run .*; install it \(Debian: apt-get install openssl"):
        self_made(tmp_path)


@pytest.mark.e2e
def test_an_endpoint_that_is_down_is_a_sentence(tmp_path: Path) -> None:
    with null_latency(tmp_path, "http") as gone:
        pass
    gone.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=50.0)
    result = gone.run("certify")
    assert result.returncode == ServerError.exit_code
    assert f"error: {gone.endpoint.id} cannot be certified for: it did not answer r000" in result.stderr
    assert "make status" in result.stderr


@pytest.mark.e2e
def test_an_unknown_endpoint_is_named_with_those_that_are_up(tmp_path: Path) -> None:
    with null_latency(tmp_path, "http") as nulled:
        nulled.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=50.0)
        result = nulled.run("certify", "--variant", "words__onnx__triton__htp")
    assert result.returncode == 2
    assert "did you mean 'words__onnx__triton__http'?" in result.stderr


@pytest.mark.e2e
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_answer_is_asked_for_and_kept_to_the_byte(tmp_path: Path, protocol: Any) -> None:
    with null_latency(tmp_path, protocol) as nulled:
        nulled.configure(concurrency=[1, 4], closed_s=1.0, open_s=1.0, rate=50.0)
        ask(nulled.endpoint, tmp_path / "live", Client(), tmp_path / "asked.bin")
    found = setting_of(
        nulled.endpoint, tmp_path / "live", tmp_path / "asked.bin", config(load=Load(concurrency=[64, 2]))
    )
    assert (tmp_path / "asked.bin").read_bytes().endswith(BODY)
    assert (found.protocol, found.answer_class, found.concurrency) == (protocol, 256, 64)


@pytest.fixture
def unchanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources that stay as they are, also where somebody is writing at them while the tests run."""
    monkeypatch.setattr("loadtest.certification.store._digest_of_sources", lambda: "0123456789ab")


@pytest.mark.e2e
def test_one_certificate_serves_every_endpoint_of_its_kind(tmp_path: Path, unchanging: None) -> None:
    place, made_ready = workspace(tmp_path), []
    with null_latency(tmp_path, "http") as nulled:
        twin = nulled.endpoint.model_copy(update={"id": "words__torchscript__triton__http"})
        write_json(place.endpoints, endpoints(nulled.endpoint, twin, servers=[]))
        ask(nulled.endpoint, place.live, Client(), tmp_path / "asked.bin")
        kept = certificate(setting_of(nulled.endpoint, place.live, tmp_path / "asked.bin", config(), concurrency=70))
        write_json(tmp_path / "certificates" / f"{kept.setting.key}.json", kept)
        found = certificates_for(
            [nulled.endpoint, twin], place, config(), lambda item: made_ready.append(item.id), concurrency=70
        )
    assert found.of(nulled.endpoint.id) == found.of(twin.id) == kept
    assert made_ready == [nulled.endpoint.id, twin.id]


@pytest.mark.e2e
def test_what_cannot_be_certified_is_left_out_of_a_run_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with null_latency(tmp_path, "http") as gone:
        pass
    gone.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=50.0)
    found = certificates_for([gone.endpoint], workspace(tmp_path), config(), lambda item: None, lenient=True)
    assert (found.certificates, found.endpoints) == ({}, {})
    assert f"not certified: {gone.endpoint.id}" in capsys.readouterr().err


def test_a_host_beyond_this_machine_is_asked_only_where_it_was_allowed(tmp_path: Path) -> None:
    text = TOML.format(concurrency=[1], closed_s=1.0, open_s=1.0, rate=50.0)
    write_text(tmp_path / "models.toml", text)
    write_json(workspace(tmp_path).endpoints, endpoints(endpoint(address="192.0.2.1:8000")))
    with pytest.raises(UsageError, match=r"--allow-host 192\.0\.2\.1"):
        main(["--workspace", str(tmp_path), "--config", str(tmp_path / "models.toml")])


def test_a_line_says_what_is_trusted_and_whose_the_ceiling_is() -> None:
    assert line(certificate()) == (
        "http, requests <= 512 B, answers <= 256 B: ceiling 10,000 requests/s in a closed loop of 16 users "
        "(client 98%, null server 25% of a core), 4,000 in an open loop (client 85%, null server 20%); "
        "open loops are trusted up to 2,800 and 80% of a core per process; adds 0.50 ms at p50, 1.20 ms at p99"
    )
    busier = line(certificate(ceiling_of="null server"))
    assert "16 users, the null server's: the client's own lies higher (client" in busier
    assert "16 users, what other work on the machine left (client" in line(certificate(ceiling_of="machine"))
    assert ", in an open loop unknown; open loops are trusted up to 7,000 and" in line(certificate(open_ceiling=None))
    assert line(certificate(setting(client=Client(tls=True)))).startswith("http under TLS, requests <= ")

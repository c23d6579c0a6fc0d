"""What the report says about the load generator that measured a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.client import Client
from contract.errors import UsageError
from contract.files import write_json
from report.certificate import BY_HAND, ELSEWHERE, NAME, NOBODY_DID, read_certificates, sentence, sentences, uncertified
from report.origin import Origin
from tests.builders import plan
from tests.certificates import certificate, certificates, setting


def test_a_run_without_certificates_says_so(tmp_path: Path) -> None:
    found = read_certificates(tmp_path)
    assert found.of("words__onnx__triton__http") is None
    (said,) = sentences(found)
    assert said.startswith("The load generator was not certified") and said.endswith(
        "run 'python -m loadtest certify'."
    )


def test_load_that_came_from_other_machines_is_not_certified_by_this_one() -> None:
    assert uncertified(plan(processes=2), Origin()) == NOBODY_DID
    assert uncertified(plan(processes=0), Origin(elsewhere=True)) == ELSEWHERE
    assert uncertified(plan(processes=0), Origin()) == BY_HAND
    (said,) = sentences(certificates(), ELSEWHERE)
    assert said.startswith("The load generator was not certified")
    assert said.endswith("these load processes are on other machines, of which this one's ceiling says nothing.")


def test_the_certificates_of_a_run_are_found_by_endpoint(tmp_path: Path) -> None:
    one, other = certificate(), certificate(setting(protocol="grpc"), ceiling_rps=8000.0)
    held = certificates(one, other, words__http=one.setting.key, words__grpc=other.setting.key)
    write_json(tmp_path / NAME, held)
    found = read_certificates(tmp_path)
    assert found == held
    assert found.of("words__grpc") == other
    assert found.of("another") is None


def test_a_broken_file_is_an_error_and_not_a_run_without_certificates(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"schema_version": 1, "certificates": {')
    with pytest.raises(UsageError, match=r"certificate\.json is not a valid certificates file"):
        read_certificates(tmp_path)


def test_a_sentence_says_what_the_generator_can_do_and_what_it_adds() -> None:
    assert sentence(certificate()) == (
        "HTTP, requests of 400 and answers of 150 bytes: the ceiling of one load process at concurrency 16 is 10,000 "
        "requests/s; rates up to 7,000 are trusted. To a known delay of 5.10 ms it adds 0.50 ms at the median and "
        "1.20 ms at p99, of which 0.20 and 0.80 ms are late sends (600 requests at 200/s)."
    )


def test_a_ceiling_of_the_null_server_is_given_as_a_lower_bound() -> None:
    assert "the ceiling of 2 load processes at concurrency 16 is above 10,000 requests/s, where the null server" in (
        sentence(certificate(setting(processes=2), ceiling_of="null server"))
    )


def test_a_ceiling_beside_other_work_says_so() -> None:
    assert "was 10,000 requests/s beside other work on the machine; rates" in sentence(
        certificate(ceiling_of="machine")
    )


def test_a_ceiling_under_tls_says_so() -> None:
    assert sentence(certificate(setting(client=Client(tls=True)))).startswith("HTTP under TLS, requests of 400 and ")


def test_sentences_come_in_the_order_of_protocol_and_size() -> None:
    large = certificate(setting(request_class=4096), request_bytes=4000)
    listed = certificates(
        certificate(setting(protocol="rest")), large, certificate(), certificate(setting(protocol="grpc"))
    )
    assert [text.split(" and answers")[0] for text in sentences(listed)] == [
        "gRPC, requests of 400",
        "HTTP, requests of 400",
        "HTTP, requests of 4,000",
        "REST, requests of 400",
    ]

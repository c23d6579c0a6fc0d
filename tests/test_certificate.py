"""What the report says about the load generator that measured a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.client import Client
from contract.errors import UsageError
from contract.files import write_json, write_text
from report.figures.certificate import (
    BY_HAND,
    ELSEWHERE,
    NAME,
    NOBODY_DID,
    read_certificates,
    sentence,
    sentences,
    uncertified,
)
from report.figures.origin import Origin
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
        "HTTP, requests of 400 and answers of 150 bytes: the ceiling of one load process in a closed loop of 16 users "
        "is 10,000 requests/s; in an open loop it is 4,000 requests/s; an open loop is trusted up to 2,800 requests/s "
        "while no load process uses over 80% of a core. To a known delay of 5.10 ms it adds 0.50 ms at the median and "
        "1.20 ms at p99, of which 0.20 and 0.80 ms are late sends (600 requests at 200/s)."
    )


def test_where_the_open_loops_ceiling_is_not_known_the_closed_loops_counts_and_is_called_that() -> None:
    said = sentence(certificate(open_ceiling=None))
    assert "; of an open loop, whose requests cost more, it is not known ('python -m loadtest certify --again'" in said
    assert "; an open loop is trusted up to 7,000 requests/s while no load process uses over 80%" in said


def test_a_certificate_of_before_open_ceilings_is_read(tmp_path: Path) -> None:
    known = certificate()
    older = known.model_dump(mode="json")
    del older["open_ceiling"]
    write_text(
        tmp_path / NAME,
        json.dumps(
            {"schema_version": 1, "certificates": {known.setting.key: older}, "endpoints": {"e": known.setting.key}}
        ),
    )
    found = read_certificates(tmp_path).of("e")
    assert found is not None
    assert (found.open_ceiling, found.trusted_rps) == (None, 7000.0)


def test_an_open_ceiling_of_the_null_server_is_given_as_a_lower_bound() -> None:
    opened = certificate().open_ceiling
    assert opened is not None
    assert "in an open loop it is above 4,000 requests/s, where the null server was the limit; an open loop is" in (
        sentence(certificate(open_ceiling=opened.model_copy(update={"of": "null server"})))
    )


def test_a_ceiling_of_the_null_server_is_given_as_a_lower_bound() -> None:
    assert (
        "the ceiling of 2 load processes in a closed loop of 16 users is above 10,000 requests/s, where the null"
        in (sentence(certificate(setting(processes=2), ceiling_of="null server")))
    )


def test_a_ceiling_beside_other_work_says_so() -> None:
    assert "was 10,000 requests/s beside other work on the machine; in" in sentence(certificate(ceiling_of="machine"))


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

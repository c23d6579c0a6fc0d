"""Addresses of servers that somebody else runs."""

from __future__ import annotations

import pytest

from contract.errors import UsageError
from serving.places.addresses import is_address, parse_addresses

USUAL = {"http": 8000, "grpc": 8001}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://gpu1", ("gpu1", {"http": 8000, "grpc": 8001})),
        ("http://gpu1:9000", ("gpu1", {"http": 9000, "grpc": 8001})),
        ("http://10.0.0.7:80,grpc://10.0.0.7:81", ("10.0.0.7", {"http": 80, "grpc": 81})),
        ("grpc://[::1]:5,http://[::1]/", ("::1", {"http": 8000, "grpc": 5})),
        ("http://gpu1,usage://gpu1:77", ("gpu1", {"http": 8000, "grpc": 8001, "usage": 77})),
        ("http://gpu1,usage://gpu1", ("gpu1", {"http": 8000, "grpc": 8001, "usage": 9102})),
    ],
)
def test_an_address_gives_a_host_and_a_port_for_every_purpose(text: str, expected: object) -> None:
    assert is_address(text)
    assert parse_addresses(text, USUAL) == expected


@pytest.mark.parametrize(
    "text", ["ftp://gpu1", "http://", "http://gpu1:port", "http://gpu1:99999", "http://gpu1/models", "gpu1:8000"]
)
def test_what_is_no_address_is_refused_with_the_known_forms(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not an address; known are http://HOST:8000, grpc://HOST:8001"):
        parse_addresses(text, USUAL)


def test_two_hosts_are_two_servers() -> None:
    with pytest.raises(UsageError, match="names two hosts, a and b"):
        parse_addresses("http://a,grpc://b", USUAL)


@pytest.mark.parametrize("word", ["process", "docker", "auto"])
def test_a_way_to_start_a_server_is_no_address(word: str) -> None:
    assert not is_address(word)

"""Which hosts are the machine that this runs on."""

from __future__ import annotations

import socket

import pytest

from contract.machine import is_this_machine


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("240.0.0.1", False),  # reserved (RFC 1112): nobody has it
        ("", False),
        ("a" * 300, False),
    ],
)
def test_a_host_is_this_machine_where_one_could_listen_at_its_address(host: str, expected: bool) -> None:
    assert is_this_machine(host) is expected


def test_an_address_that_this_machine_has_in_its_network_is_this_machine_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the kernel says from which address it would be
        except OSError:
            pytest.skip("this machine has no network")
        assert is_this_machine(probe.getsockname()[0])

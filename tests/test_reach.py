"""A load process elsewhere must not load what listens on its own 127.0.0.1 because its master has a server there."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import UsageError
from contract.hosts import names_whoever_asks
from loadtest.master import reach
from loadtest.master.reach import loopback, refuse_others

HERE, THERE = "boot-1 net:[1]", "boot-2 net:[1]"


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("127.0.0.1:8000", True),
        ("127.9.9.9:8000", True),
        ("[::1]:8001", True),
        ("localhost:8000", True),
        ("0.0.0.0:8000", True),  # who connects to it reaches itself
        ("[::]:8000", True),
        ("10.0.0.7:8000", False),
        ("[2001:db8::1]:8001", False),
        ("triton:8000", False),
    ],
)
def test_loopback_and_no_address_at_all_mean_the_machine_that_uses_them(address: str, meant: bool) -> None:
    assert names_whoever_asks(address) is meant


def test_one_loopback_address_among_the_endpoints_is_refused_elsewhere_by_name_and_with_the_next_step() -> None:
    with pytest.raises(
        UsageError, match=r"process gpu7_ab is on another machine.*127\.0\.0\.1:8001.*--allow-host HOST"
    ):
        refuse_others("gpu7_ab", ["triton:8000", "127.0.0.1:8001"], masters=HERE, own=THERE)


def test_where_the_master_is_its_loopback_addresses_are_loaded() -> None:
    refuse_others("w", ["127.0.0.1:8000", "localhost:1"], masters=HERE, own=HERE)


def test_addresses_that_mean_the_same_server_everywhere_are_loaded_from_anywhere() -> None:
    refuse_others("w", ["10.0.0.7:8000", "triton:8001"], masters=HERE, own=THERE)


def test_a_network_is_named_by_its_machine_too_for_machines_number_their_first_network_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "net"
    link.symlink_to("net:[4026531840]")
    monkeypatch.setattr(reach, "NAMESPACE", link)
    monkeypatch.setattr(reach, "clock", lambda: "boot-1")
    assert loopback() == "boot-1 net:[4026531840]"
    monkeypatch.setattr(reach, "clock", lambda: "boot-2")
    assert loopback() == "boot-2 net:[4026531840]"
    link.unlink()
    link.symlink_to("net:[4026532201]")  # a container on the same machine
    assert loopback() == "boot-2 net:[4026532201]"


def test_a_system_without_such_networks_is_named_by_its_clock_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "NAMESPACE", tmp_path / "absent")
    monkeypatch.setattr(reach, "clock", lambda: "boot-1")
    assert loopback() == "boot-1"

"""Which addresses are this machine's own, and which are other people's. Pure decisions."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def host_of(address: str) -> str:
    """The host of ``host:port``, without the brackets of an IPv6 address."""
    return address.rpartition(":")[0].removeprefix("[").removesuffix("]")


def beyond_loopback(address: str) -> bool:
    """Whether requests to an address leave this machine. A name counts as leaving it, but for ``localhost``."""
    host = host_of(address)
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") != "localhost"


def names_whoever_asks(address: str) -> bool:
    """Whether an address means another machine's own server when that machine uses it: loopback, or none at all."""
    try:
        unspecified = ipaddress.ip_address(host_of(address)).is_unspecified  # who connects to 0.0.0.0 reaches itself
    except ValueError:
        unspecified = False
    return unspecified or not beyond_loopback(address)


def first_foreign(addresses: Iterable[str], allowed_hosts: Iterable[str]) -> str | None:
    """The first address beyond loopback whose host nobody allowed; None where every one may be reached."""
    allowed = {host.lower() for host in allowed_hosts}
    return next((item for item in addresses if beyond_loopback(item) and host_of(item).lower() not in allowed), None)

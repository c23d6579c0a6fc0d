"""What must not be written into models.toml, and from there into plan.json and reports: by its name or its form."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contract.client import Client

NAMES = [
    "X-Auth",
    "X-Authenticated-User",
    "Proxy-Auth",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Functions-Key",
    "Ocp-Apim-Subscription-Key",
    "X-Goog-Iap-Jwt-Assertion",
    "X-Session-Id",
    "X-User-Pass",
    "X-PWD",
    "Set-Cookie2",
    "X-Bearer",
]
VALUES = [
    "Bearer s3cret",
    "basic czNjcmV0",
    "Token s3cret",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyZXQifQ.s3cret",
    "https://me:s3cret@models.example.com/",
]
HARMLESS = {
    "X-Team": "search, ranking",
    "X-Author": "bob",
    "X-Bypass-Cache": "1",
    "X-Compass": "north",
    "Host": "model.example.com",
    "Accept": "application/json",
    "User-Agent": "loadproof (basics)",
    "Referer": "https://models.example.com/a@b",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def refusal(name: str, value: str) -> str:
    with pytest.raises(ValidationError) as caught:
        Client(headers={name: value})
    return str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_is_named_like_a_secret_is_refused_and_its_value_not_repeated(name: str) -> None:
    message = refusal(name, "s3cret")
    assert f"'{name}' looks like a secret" in message and f'{name} = "env:MY_TOKEN"' in message
    assert "s3cret" not in message


@pytest.mark.parametrize("value", VALUES)
def test_a_value_of_the_form_of_a_secret_is_refused_whatever_its_header_is_called(value: str) -> None:
    message = refusal("X-Custom", value)
    assert "'X-Custom' looks like a secret" in message
    assert value not in message and "s3cret" not in message


@pytest.mark.parametrize("name", NAMES)
def test_every_one_of_them_may_come_from_the_environment(name: str) -> None:
    assert Client(headers={name: "env:MY_TOKEN"}).headers == {name: "env:MY_TOKEN"}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_secret_is_taken_as_it_stands(name: str) -> None:
    assert Client(headers={name: HARMLESS[name]}).headers == {name: HARMLESS[name]}

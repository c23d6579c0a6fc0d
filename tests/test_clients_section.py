"""The table [client] of models.toml: what it takes, and what it refuses with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contract.client import Client


def test_the_defaults_neither_retry_nor_encrypt() -> None:
    client = Client()
    assert (client.timeout_s, client.retries, client.tls, client.spread, client.headers) == (
        30.0,
        0,
        False,
        "connection",
        {},
    )


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Auth-Token", "x-api-key", "Cookie", "Proxy-Authorization", "Client-Secret", "Password"]
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Client(headers={name: "Bearer s3cret"})
    message = caught.value.errors()[0]["msg"]
    assert f"'{name}' looks like a secret" in message
    assert f'{name} = "env:MY_TOKEN"' in message
    assert "s3cret" not in message


def test_the_name_of_a_variable_and_what_is_no_secret_are_taken() -> None:
    headers = {"Authorization": "env:MY_TOKEN", "Host": "model.example.com", "X-Team": "search, ranking"}
    assert Client(headers=headers).headers == headers


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no variable": ({"headers": {"Authorization": "env:"}}, "names no variable"),
    "no name of a variable": ({"headers": {"Authorization": "env:MY-TOKEN"}}, "names no variable"),
    "no header": ({"headers": {"X Team": "a"}}, "is not the name of a header"),
    "a line break": ({"headers": {"X-Team": "a\r\nX-Other: b"}}, "no header can carry"),
    "empty": ({"headers": {"X-Team": ""}}, "empty"),
    "framing": ({"headers": {"content-length": "1"}}, "is written by the client itself"),
    "certificate alone": ({"tls": True, "certificate": "a.pem"}, "certificate needs key"),
    "key alone": ({"tls": True, "key": "a.pem"}, "key needs certificate"),
    "ca without tls": ({"ca": "a.pem"}, "add tls = true"),
    "name without tls": ({"server_name": "a"}, "add tls = true"),
    "negative": ({"retries": -1}, "greater than or equal to 0"),
    "no time": ({"timeout_s": 0}, "greater than 0"),
    "spread": ({"spread": "random"}, "'connection' or 'round-robin'"),
    "unknown": ({"timeout": 1}, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(name: str) -> None:
    values, words = REFUSED[name]
    with pytest.raises(ValidationError, match=words):
        Client.model_validate(values)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    client = Client(tls=True, ca=Path("ca.pem"), certificate=Path("/etc/own.pem"), key=Path("own.key"))
    rooted = client.rooted(tmp_path)
    assert (rooted.ca, rooted.certificate, rooted.key) == (
        tmp_path / "ca.pem",
        Path("/etc/own.pem"),
        tmp_path / "own.key",
    )
    assert Client().rooted(tmp_path) == Client()

"""The table [client] of models.toml: how the load generator talks to endpoints. It never holds a secret, only its name.

A header's value that begins with ``env:`` names an environment variable. The plan and every other file hold that name;
the value is read in the worker that connects (`contract/request_headers.py`) and goes nowhere but on the wire.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from contract.section import Count, Natural, Positive, Section

ENVIRONMENT = "env:"
VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")  # RFC 9110, 5.5, less what is obsolete
# Names of headers, and forms of values, that are no text for a file. Who is refused in error may take env: as well.
SECRET_NAME = re.compile(
    r"auth(?!ors?\b)|bearer|cookie|credential|jwt|key|\bpass\b|passphrase|passw|pwd|secret|session|signature|token",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(
    r"(basic|bearer|digest|negotiate|token)\s"  # schemes of RFC 9110, 11.4
    r"|eyJ[\w-]+\.[\w-]+\."  # a JSON web token, RFC 7519
    r"|[a-z]+://[^/@\s]+:[^/@\s]+@",  # user and password in a URL
    re.IGNORECASE,
)
# The clients write these themselves: another value would break the framing of the request.
OURS = ("connection", "content-length", "expect", "te", "transfer-encoding", "upgrade", "grpc-timeout", "grpc-encoding")


class Client(Section):
    """How requests reach the endpoints: time limits, connections, TLS, headers."""

    timeout_s: Positive = Field(
        30.0,
        description="how long an answer may take, retries included; told to gRPC servers, and to Triton over HTTP",
    )
    connect_timeout_s: Positive = Field(5.0, description="how long a connection may take: name, TCP and TLS together")
    retries: Annotated[Natural, Field(le=10)] = Field(
        0, description="how often a request may be sent again that was refused, cut off or shed; each is recorded"
    )
    spread: Literal["connection", "round-robin"] = Field(
        "connection",
        description="over the addresses of a name: each user's connection keeps to one, or each request goes to the "
        "next; an open loop has no users and reuses the connection that was free last, so there take `round-robin`",
    )
    calls_per_channel: Count = Field(4, description="gRPC: most calls in flight that share one HTTP/2 connection")
    tls: bool = Field(False, description="encrypt; the server's certificate and name are always checked")
    ca: Path | None = Field(None, description="PEM of the authorities to trust; the system's when absent")
    certificate: Path | None = Field(None, description="PEM of the client's own certificate")
    key: Path | None = Field(None, description="PEM of its key, not encrypted")
    server_name: str | None = Field(None, description="the name that the server's certificate must have; else the host")
    headers: dict[str, str] = Field(
        {}, description="sent with every request; a value `env:NAME` is read from the environment and never written"
    )

    @field_validator("headers")
    @classmethod
    def _without_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not HEADER.fullmatch(name):
                raise ValueError(f"'{name}' is not the name of a header")
            if name.lower() in OURS:
                raise ValueError(f"'{name}' is written by the client itself; leave it out")
            if value.startswith(ENVIRONMENT):
                if not VARIABLE.fullmatch(value):
                    raise ValueError(f"the value of '{name}' names no variable; write env: and a name, env:MY_TOKEN")
            elif SECRET_NAME.search(name) or SECRET_VALUE.match(value):
                raise ValueError(
                    f"'{name}' looks like a secret, which does not belong into a file; "
                    f'put it into an environment variable and write {name} = "env:MY_TOKEN"'
                )
            elif not VALUE.fullmatch(value):
                raise ValueError(f"the value of '{name}' is empty or holds characters that no header can carry")
        return headers

    @model_validator(mode="after")
    def _consistent(self) -> Client:
        if (self.certificate is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.certificate else ("key", "certificate")
            raise ValueError(f"{given} needs {missing} beside it")
        for name in ("ca", "certificate", "server_name"):
            if getattr(self, name) is not None and not self.tls:
                raise ValueError(f"{name} is given, but tls is not on; add tls = true")
        return self

    def rooted(self, folder: Path) -> Client:
        """The same with paths below ``folder``, where models.toml is."""
        update = {name: folder / path for name in ("ca", "certificate", "key") if (path := getattr(self, name))}
        return self.model_copy(update=update)

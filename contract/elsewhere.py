"""The tables [[models.NAME.elsewhere]] of models.toml: servers that are not ours and that hold one of our models.

Any server of the KServe v2 (Open Inference) protocol can be named: it is asked, proven and put under load, and never
started, watched or stopped.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from contract.section import Count, Section

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+):(?P<port>[0-9]{1,5})")
# Both become parts of a URL's path and of file names.
ServedName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
MOST_PORT = 65535


class Elsewhere(Section):
    """One model on a server of somebody else that speaks the KServe v2 protocol: MLServer, KServe, OpenVINO, Triton."""

    address: str = Field(description="`host:port` of that protocol")
    protocol: Literal["http", "grpc"] = Field("http", description="`http` sends plain JSON, `grpc` raw tensors")
    name: ServedName | None = Field(None, description="the model's name there; its name in this file when absent")
    version: ServedName | None = Field(
        None, description="the version that requests name; absent for the many servers that have none"
    )
    format: str = Field(description="which of the model's formats runs there: its identity and tolerance are known")
    max_rows: Count | None = Field(
        None, description="most rows of one request there; larger golden requests are not asked"
    )

    @field_validator("address")
    @classmethod
    def _with_port(cls, address: str) -> str:
        found = ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found["port"]) <= MOST_PORT:
            raise ValueError("it is not of the form host:port; write e.g. 127.0.0.1:8080, without http://")
        return address

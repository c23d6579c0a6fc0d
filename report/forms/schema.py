"""python -m report schema: the published JSON Schema of report.json, from the model that writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser
from contract.files import write_text
from contract.verdict import Report

PAGE = Path(__file__).parents[2] / "docs" / "report.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as it is published. Reports of earlier versions are valid, too: what they lack has a default."""
    head = {"$schema": DIALECT, "$id": "report.schema.json"}
    return json.dumps(head | Report.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m report schema", description="Write the JSON Schema of report.json.")
    parser.add_argument("--output", type=Path, default=PAGE, help="the file to write")
    options = parser.parse_args(arguments)
    write_text(options.output, schema_text())
    print(options.output)
    return 0

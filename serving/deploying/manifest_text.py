"""YAML that Kubernetes reads as it was meant: `yes`, `2` and the `1e5` of a hash stay strings."""

from __future__ import annotations

import re
from typing import Any

import yaml

STRING = "tag:yaml.org,2002:str"
NUMERIC = re.compile(r"[-+.]?\d")  # Go's parser knows numbers that PyYAML does not: 1e5, 0o7


def to_yaml(value: Any) -> str:
    """Keys in their order, lists indented, texts of several lines as blocks, whatever looks like no string quoted."""
    return yaml.dump(value, Dumper=_Quoting, sort_keys=False, width=1000, allow_unicode=True)


class _Quoting(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True  # an anchor saves a line and costs a reader


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    read_as = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    ambiguous = NUMERIC.match(text) or read_as != STRING
    return dumper.represent_scalar(STRING, text, style="|" if "\n" in text else '"' if ambiguous else None)


_Quoting.add_representer(str, _text)

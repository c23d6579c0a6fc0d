"""Schemas of custom resources: they come with the operators that bring them, so a person names the folder with theirs.

`CRDS=FOLDER python -m pytest tests/test_k8s_custom.py`, with the CustomResourceDefinitions as YAML files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]


def definitions(folder: Path) -> dict[tuple[str, str], Document]:
    """(kind, apiVersion) -> its JSON schema, of every CustomResourceDefinition in the folder's YAML files."""
    documents = [item for file in sorted(folder.rglob("*.y*ml")) for item in yaml.safe_load_all(file.read_text())]
    found = {}
    for item in documents:
        if item and item["kind"] == "CustomResourceDefinition":
            spec = item["spec"]
            for version in spec["versions"]:
                found[spec["names"]["kind"], f"{spec['group']}/{version['name']}"] = _strict(
                    version["schema"]["openAPIV3Schema"]
                )
    return found


def _strict(schema: Document) -> Document:
    """The same, and a key that it does not know is an error, as strict validation by a cluster has it."""
    strict = dict(schema)
    if isinstance(schema.get("items"), dict):
        strict["items"] = _strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(schema["additionalProperties"])
    if properties := schema.get("properties"):
        strict["properties"] = {name: _strict(item) for name, item in properties.items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict

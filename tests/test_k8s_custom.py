"""Custom resources are held against the schemas of their own operators, or said not to have been."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.k8s_custom import definitions
from tests.k8s_rendered import OVERLAYS, rendered
from tests.test_k8s_schemas import CUSTOM

DEFINITION = """
kind: CustomResourceDefinition
spec:
  group: example.org
  names: { kind: Cat }
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion: { type: string }
            kind: { type: string }
            metadata: { type: object }
            spec:
              type: object
              properties:
                lives: { type: integer }
                port: { x-kubernetes-int-or-string: true, anyOf: [{ type: integer }, { type: string }] }
                toys: { type: array, items: { type: object, properties: { name: { type: string } } } }
                labels: { type: object, additionalProperties: { type: string } }
"""


def _objects(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(overlay, item) for overlay in OVERLAYS for item in rendered(overlay) if item["kind"] == kind]


@pytest.mark.parametrize("kind", sorted(CUSTOM))
def test_a_custom_resource_is_valid_by_the_definition_of_its_operator(kind: str) -> None:
    objects = _objects(kind)
    assert objects
    if "CRDS" not in os.environ:
        named = ", ".join(sorted({f"{overlay}: {item['metadata']['name']}" for overlay, item in objects}))
        pytest.skip(f"not validated: {kind} ({named}); CRDS names a folder with its CustomResourceDefinition")
    known = definitions(Path(os.environ["CRDS"]))
    for _, item in objects:
        Draft202012Validator(known[kind, item["apiVersion"]]).validate(item)


@pytest.mark.parametrize(
    "spec",
    [
        {"lives": "nine"},
        {"livse": 9},
        {"toys": [{"name": "mouse", "colour": "grey"}]},
        {"labels": {"name": 9}},
        {"port": {}},
    ],
)
def test_a_wrong_or_misspelt_key_of_a_custom_resource_would_be_found(tmp_path: Path, spec: dict[str, Any]) -> None:
    (tmp_path / "cats.yaml").write_text(DEFINITION)
    schema = Draft202012Validator(definitions(tmp_path)["Cat", "example.org/v1"])
    good = {"lives": 9, "port": "http", "toys": [{"name": "mouse"}], "labels": {"name": "Tom"}}
    cat = {"apiVersion": "example.org/v1", "kind": "Cat", "metadata": {"name": "tom"}, "spec": good}
    schema.validate(yaml.safe_load(yaml.safe_dump(cat)))
    with pytest.raises(ValidationError):
        schema.validate({**cat, "spec": good | spec})

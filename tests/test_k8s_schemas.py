"""Every overlay renders, and every object is one that Kubernetes knows, strictly: a misspelt key is an error."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest

from tests.k8s_rendered import K8S, OVERLAYS, kustomize, rendered

RELEASES = ("1.34", "1.35", "1.36", "1.37")
# Their schemas come with the operators that bring them, and with no package: tests/test_k8s_custom.py.
CUSTOM = {"PodMonitor", "PrometheusRule", "GRPCRoute", "HTTPRoute"}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("release", RELEASES)
def test_objects_are_valid_in_every_kept_release(overlay: str, release: str) -> None:
    for item in rendered(overlay):
        if item["kind"] not in CUSTOM:
            assert kubernetes_validate.validate(item, release, strict=True) == release


def test_a_misspelt_key_would_be_found() -> None:
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": [], "slector": {}}}
    with pytest.raises(kubernetes_validate.ValidationError, match="slector"):
        kubernetes_validate.validate(item, RELEASES[0], strict=True)


@pytest.mark.parametrize("base", ["namespace", "triton", "tfserving"])
def test_bases_render_alone(base: str) -> None:
    assert kustomize(K8S / "base" / base).returncode == 0


def test_every_component_is_in_some_overlay() -> None:
    used = {
        Path(line.split()[1]).name  # `- ../../components/NAME`, and perhaps a remark
        for file in K8S.glob("*/*/kustomization.yaml")
        for line in file.read_text().splitlines()
        if "../../components/" in line
    }
    assert used == {item.name for item in (K8S / "components").iterdir()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_but_the_namespace_itself_is_in_the_namespace(overlay: str) -> None:
    assert {item["metadata"].get("namespace") for item in rendered(overlay) if item["kind"] != "Namespace"} == {
        "loadproof"
    }

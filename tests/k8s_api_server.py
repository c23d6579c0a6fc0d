"""A cluster that only remembers: as much of Kubernetes' API as `kubectl apply` and `kubectl diff` ask, on loopback.

It knows the kinds of an overlay, keeps what it is given, merges patches key by key, and admits everything where the
namespace is there: what else a real cluster would refuse is for the schemas to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Document = dict[str, Any]
# group/version -> kind -> plural
KINDS = {
    "v1": {
        "Namespace": "namespaces",
        "ConfigMap": "configmaps",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
        "PersistentVolumeClaim": "persistentvolumeclaims",
    },
    "apps/v1": {"Deployment": "deployments"},
    "batch/v1": {"Job": "jobs"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "monitoring.coreos.com/v1": {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"},
}


def discovery(path: str, known: dict[str, dict[str, str]]) -> Document | None:
    """What the API says of itself at a path."""
    groups = [name for name in known if "/" in name]
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        listed = []
        for name in groups:
            version = {"groupVersion": name, "version": name.partition("/")[2]}
            listed.append({"name": name.partition("/")[0], "versions": [version], "preferredVersion": version})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    name = path.removeprefix("/apis/").removeprefix("/api/")
    if name not in known:
        return None
    verbs = ["create", "get", "list", "patch"]
    resources = [
        {"name": plural, "singularName": "", "namespaced": kind != "Namespace", "kind": kind, "verbs": verbs}
        for kind, plural in known[name].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}


def merged(old: Any, new: Any) -> Any:
    """A JSON merge patch (RFC 7386): null removes a key, lists are replaced."""
    if not isinstance(new, dict):
        return new
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@contextmanager
def cluster(folder: Path, without: str = "") -> Iterator[Path]:
    """Run one, which does not know the API group ``without``. Gives the path of a KUBECONFIG that leads to it."""
    kept: dict[str, Document] = {}
    known = {name: kinds for name, kinds in KINDS.items() if name != without}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Not onto the test's stderr."""

        def answer(self, document: Document | None, why: str = "") -> None:
            absent = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "message": why}
            found = document or absent
            body = json.dumps(found if document else {**found, "code": 404}).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def given(self) -> Document:
            document: Document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return document

        def keep(self, path: str, document: Document) -> None:
            if "All" not in parse_qs(urlsplit(self.path).query).get("dryRun", []):
                kept[path] = document
            self.answer(document)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            self.answer(discovery(path, known) or kept.get(path))

        def do_POST(self) -> None:
            document = self.given()
            space = re.search(r"(?<=/namespaces/)[^/]+(?=/)", self.path)
            if space and f"/api/v1/namespaces/{space[0]}" not in kept:
                self.answer(None, f'namespaces "{space[0]}" not found')
                return
            self.keep(f"{urlsplit(self.path).path}/{document['metadata']['name']}", document)

        def do_PATCH(self) -> None:
            path = urlsplit(self.path).path
            # Directives of a strategic merge say how lists are merged; here they are not.
            patch = json.loads(re.sub(r'"\$setElementOrder[^"]*":\[[^\]]*\],?', "", json.dumps(self.given())))
            self.keep(path, merged(kept[path], patch))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": ""}}],
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    try:
        yield file
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

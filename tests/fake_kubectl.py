"""A kubectl that keeps a cluster of one Deployment in a file, and writes down what it is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KUBECTL = """\
#!{python}
import json, pathlib, sys
words = sys.argv[1:]
file = pathlib.Path({cluster!r})
cluster = json.loads(file.read_text())
cluster["told"].append(" ".join(words))
assert words[:2] == ["--namespace", "loadproof"], words
what = words[2]
if cluster["fails"] == what:
    file.write_text(json.dumps(cluster))
    sys.exit("error: the server says no")
if words[2:4] == ["get", "horizontalpodautoscalers"]:
    named = {{"name": "triton-hpa"}}
    items = [{{"metadata": named, "spec": {{"scaleTargetRef": target}}}} for target in cluster["scaled"]]
    print(json.dumps({{"items": items}}))
elif words[2:4] == ["get", "deployment/triton"]:
    status = {{"readyReplicas": cluster["ready"]}} if cluster["ready"] else {{}}
    print(json.dumps({{"spec": {{"replicas": cluster["replicas"]}}, "status": status}}))
elif words[2:4] == ["scale", "deployment/triton"]:
    cluster["replicas"] = cluster["ready"] = int(words[4].removeprefix("--replicas="))
else:
    assert words[2:5] == ["rollout", "status", "deployment/triton"], words
file.write_text(json.dumps(cluster))
"""


class Cluster:
    """What it keeps: ``replicas`` and ``ready`` of loadproof/triton, and ``told``.

    ``scaled`` has the targets of its autoscalers, ``fails`` the verb that is refused. ``path`` goes first on PATH.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cluster.json"
        self.file.write_text(json.dumps({"replicas": 2, "ready": 2, "scaled": [], "fails": "", "told": []}))
        program = folder / "bin" / "kubectl"
        program.parent.mkdir()
        program.write_text(KUBECTL.format(python=sys.executable, cluster=str(self.file)))
        program.chmod(0o755)
        self.path = str(program.parent)

    def change(self, **changes: Any) -> None:
        self.file.write_text(json.dumps(json.loads(self.file.read_text()) | changes))

    def __getitem__(self, name: str) -> Any:
        return json.loads(self.file.read_text())[name]

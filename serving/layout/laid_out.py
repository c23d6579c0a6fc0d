"""What of a model lies in the tree that its engine reads: its versions, and which of them the engine is to serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.workspace import Workspace
from serving.layout.repository import Served
from serving.layout.tfserving_config import MODELS_CONFIG, policy_of, read_models

BRIDGE = 1_000_000_000  # added to a version: what answers while that version is loaded once more; no export is so new


def versions_in(folder: Path) -> list[int]:
    """The versions of a model that lie in its folder, oldest first; none where it is not there.

    A bridge is none of them: it is a copy for the moment of a reload, which an interrupted one leaves behind.
    """
    found = (int(child.name) for child in folder.glob("*") if child.name.isdecimal())
    return sorted(version for version in found if version < BRIDGE)


def version_folder(item: Served, workspace: Workspace) -> Path:
    """Where a version lies for its engine, once it is laid out."""
    return _tree(item, workspace) / item.name / str(item.version)


def versions_laid_out(item: Served, workspace: Workspace) -> set[int]:
    """Which versions of the model lie there."""
    return set(versions_in(_tree(item, workspace) / item.name))


def as_planned(item: Served, workspace: Workspace) -> bool:
    """Whether a start would lay out the same versions of the model, and tell its engine to serve the same of them."""
    planned = {each.version for each in (item, *item.older)}
    return versions_laid_out(item, workspace) == planned and _told_to_serve(item, workspace)


def _told_to_serve(item: Served, workspace: Workspace) -> bool:
    """Whether its engine's configuration has the policy that models.toml asks for."""
    told = {"triton": _triton_policy, "tfserving": _tfserving_policy}[item.engine](_tree(item, workspace), item.name)
    wanted = type(told)()
    item.policy.write(wanted)
    return bool(told == wanted)


def _triton_policy(tree: Path, name: str) -> Any:
    text = (tree / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, pb.ModelConfig()).version_policy


def _tfserving_policy(tree: Path, name: str) -> Any:
    return policy_of(read_models((tree / MODELS_CONFIG).read_text(encoding="utf-8")), name)


def _tree(item: Served, workspace: Workspace) -> Path:
    return {"triton": workspace.triton_repository, "tfserving": workspace.tfserving_repository}[item.engine]

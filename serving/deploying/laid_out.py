"""One model's folder of the repository, as it was laid out: its files, its artifact, and how it is configured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import Batching
from contract.config import Model
from contract.endpoints import Configuration
from contract.errors import UsageError
from contract.files import sha256_file, sha256_tree
from contract.recommendation import Recommended
from contract.workspace import Workspace
from serving.engines.tensorflow_serving import may_batch
from serving.engines.tfserving_told import NOT_TOLD, Told
from serving.layout.laid_out import BRIDGE, versions_in
from serving.layout.latency_buckets import buckets_of
from serving.layout.releases import LAST_WITH_TENSORFLOW, parse
from serving.layout.repository import served_name
from serving.layout.tfserving_config import batching_parameters
from serving.layout.triton_config import PYTHON_RUNTIME
from serving.layout.triton_configuration import triton_configuration

UNKNOWN = "unknown"  # the version of a TF Serving at an address
AGAIN = "run 'python -m serving repository --target {target}'"


@dataclass(frozen=True)
class LaidOut:
    """What a cluster's volume gets for one model, and what its SHA256SUMS has to list."""

    folder: Path
    sums: dict[str, str]  # path from the repository on, `NAME/1/model.onnx` -> SHA-256
    size: int  # bytes
    artifact_sha256: str
    configuration: Configuration
    counts_latency: bool  # whether config.pbtxt names buckets; always false on TF Serving
    joins: bool  # whether TF Serving is told to join requests; Triton reads it in config.pbtxt
    python_runtime: bool  # whether config.pbtxt names the python-based backend where a native one would be taken

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self.folder.name

    def sums_text(self) -> str:
        """SHA256SUMS, as sha256sum reads it."""
        return "".join(f"{digest}  {path}\n" for path, digest in sorted(self.sums.items()))

    def needs_own_image(self, recommended: Recommended, target: str) -> bool:
        """Whether the engine's own image of release ``target`` lacks the backend that runs it."""
        without = recommended.format == "savedmodel" and parse(target) > LAST_WITH_TENSORFLOW
        return recommended.engine == "triton" and (without or self.python_runtime)


def find(name: str, model: Model, recommended: Recommended, workspace: Workspace, target: str) -> LaidOut:
    """Read the folder of the recommended format of ``model``, which models.toml calls ``name``.

    Raises UsageError where the repository does not hold it, or more than was laid out.
    """
    if recommended.engine == "tfserving":
        folder = workspace.tfserving_repository / name
        artifact = _newest(folder, target)
        # The rule of `serving up`; where the signature is not written down, what was measured.
        joined = recommended.configuration.max_batch_size is not None
        joins = may_batch([model.inputs]) if model.inputs else joined
        return _laid_out(folder, artifact, _of_tfserving(model.batching, recommended, joins), joins=joins)
    folder = workspace.triton_repository / served_name(name, recommended.format)
    version = _newest(folder, target)
    try:
        config = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), pb.ModelConfig())
        artifact = version / config.default_model_filename
        return _laid_out(folder, artifact, triton_configuration(config, recommended.format), config)
    except (text_format.ParseError, ValueError, OSError) as error:
        raise UsageError(f"{folder} is not what was laid out ({error}); {AGAIN.format(target=target)}") from None


def _newest(folder: Path, target: str) -> Path:
    versions = versions_in(folder)
    if not versions:
        raise UsageError(f"{folder} is not there or holds no version; {AGAIN.format(target=target)}")
    # No version of ours, but the highest number in the folder, which is what an engine serves.
    bridges = [child for child in folder.glob("*") if child.name.isdecimal() and int(child.name) >= BRIDGE]
    if bridges:
        raise UsageError(
            f"{bridges[0]} is what an interrupted reload left, and would be served as the newest version; "
            f"{AGAIN.format(target=target)}"
        )
    return folder / str(versions[-1])


def _laid_out(
    folder: Path,
    artifact: Path,
    configuration: Configuration,
    config: pb.ModelConfig = pb.ModelConfig(),  # noqa: B008 - never written to
    joins: bool = False,
) -> LaidOut:
    files = [item for item in folder.rglob("*") if item.is_file()]
    return LaidOut(
        folder=folder,
        sums={item.relative_to(folder.parent).as_posix(): sha256_file(item) for item in files},
        size=sum(item.stat().st_size for item in files),
        artifact_sha256=sha256_tree(artifact),
        configuration=configuration,
        counts_latency=bool(buckets_of(config)),
        joins=joins,
        python_runtime=config.runtime == PYTHON_RUNTIME,
    )


def _of_tfserving(batching: Batching, recommended: Recommended, joins: bool) -> Configuration:
    """What models.toml says: TF Serving's settings are the server's, and in no model's folder.

    A server that was measured at an address does not tell its settings, so there is nothing to compare. Batches run on
    as many threads as the server has cores, which are not the measured one's.
    """
    if recommended.engine_version == UNKNOWN:
        return NOT_TOLD
    threads = recommended.configuration.batch_threads or 1
    return Told(batching.threads, batching_parameters(batching, threads) if joins else None).configuration()

"""One SavedModel version in a Session of its own, as TensorFlow Serving loads it.

A Session (not tf.saved_model.load) because it serves what the real server serves, SavedModels of Keras 2
and TF 1 included, and because a Session callable costs about a third of a SavedModel signature call. A
Model is immutable once loaded and may be called from any number of threads; dropping the last reference to
it closes the Session, so a request that is still running keeps its model alive.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving.tfserving import errors
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.tensors import DTYPES, Array, Dtype, as_array, decode

DEFAULT_SIGNATURE = "serving_default"
CALLER_THREAD, DEFAULT_POOL = -1, 0  # values of RunOptions.inter_op_thread_pool
MAX_CALLABLES = 64  # per signature; beyond it an output subset is cut out of the full answer


_Call = Callable[..., list[Any]]
_Key = tuple[str, tuple[str, ...], int]  # signature, outputs, timeout


@dataclass(frozen=True)
class SessionOptions:
    """How Sessions are made.

    0 threads inside an op means that TensorFlow decides. Ops run side by side in a pool from 2 threads on;
    below that they run in the thread of the request, which saves a small model two thirds of its time.
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    gpu_memory_fraction: float = 0.0
    base: Any = None  # a ConfigProto; what is set above takes precedence

    def config(self) -> Any:
        """The ConfigProto of a Session."""
        config = config_pb2.ConfigProto(allow_soft_placement=True)
        config.gpu_options.allow_growth = True  # a guest on a laptop does not take the whole card
        if self.base is not None:
            config.MergeFrom(self.base)
        if self.intra_op_threads:
            config.intra_op_parallelism_threads = self.intra_op_threads
        if self.inter_op_threads:
            config.inter_op_parallelism_threads = self.inter_op_threads
        if self.gpu_memory_fraction:
            config.gpu_options.per_process_gpu_memory_fraction = self.gpu_memory_fraction
        return config


@dataclass(frozen=True)
class Endpoint:
    """An input or output: its alias, the tensor behind it, and its type (None = not servable)."""

    alias: str
    tensor: str
    dtype: Dtype | None


@dataclass(frozen=True)
class Signature:
    """A SignatureDef, looked up once at load time. Inputs and outputs are in alphabetical order."""

    name: str
    inputs: Mapping[str, Endpoint]
    outputs: Mapping[str, Endpoint]
    defaults: Mapping[str, Array]

    @functools.cached_property
    def input_types(self) -> dict[str, Dtype]:
        """The inputs by alias, as the JSON rules want them."""
        return {alias: _servable(endpoint) for alias, endpoint in self.inputs.items()}


class Runnable(Protocol):
    """What answers requests: a Model, or something around one."""

    signature_defs: Mapping[str, Any]
    signatures: Mapping[str, Signature]

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Array]:
        """As Model.run."""


class Model:
    """A loaded version; `load_model` makes it."""

    def __init__(self, session: Any, signature_defs: Mapping[str, Any], op_pool: int) -> None:
        self._session = session
        self._op_pool = op_pool
        self._callables: dict[_Key, _Call] = {}
        self._making = threading.Lock()
        self.signature_defs = signature_defs
        self.signatures: Mapping[str, Signature] = {
            name: _signature(name, proto) for name, proto in signature_defs.items()
        }

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Array]:
        """Feed every input of the signature, give the outputs in the order of ``aliases``.

        A run that takes longer than ``timeout_ms`` is DEADLINE_EXCEEDED; 0 lets it take its time.
        Raises StatusError with TensorFlow's own code and message when the graph refuses.
        """
        check_types(signature, feeds)
        arguments = [feeds[alias] for alias in signature.inputs]
        call = self._callable(signature, tuple(aliases), timeout_ms)
        try:
            if call is not None:
                return [as_array(value) for value in call(*arguments)]
            every = tuple(signature.outputs)
            whole = dict(zip(every, self._made(signature, every, timeout_ms)(*arguments), strict=True))
        except tf.errors.OpError as error:
            raise StatusError(Code(error.error_code), error.message) from None
        return [as_array(whole[alias]) for alias in aliases]

    def _callable(self, signature: Signature, aliases: tuple[str, ...], timeout_ms: int) -> _Call | None:
        """The callable for exactly these outputs, or None when there are too many different sets."""
        call = self._callables.get((signature.name, aliases, timeout_ms))
        if call is not None:
            return call
        made = sum(name == signature.name for name, _, _ in tuple(self._callables))
        return self._made(signature, aliases, timeout_ms) if made < MAX_CALLABLES else None

    def _made(self, signature: Signature, aliases: tuple[str, ...], timeout_ms: int) -> _Call:
        with self._making:
            call = self._callables.get((signature.name, aliases, timeout_ms))
            if call is None:
                options = config_pb2.CallableOptions()
                options.feed.extend(endpoint.tensor for endpoint in signature.inputs.values())
                options.fetch.extend(signature.outputs[alias].tensor for alias in aliases)
                options.run_options.timeout_in_ms = timeout_ms
                # a run in the thread of its request cannot be given up on
                options.run_options.inter_op_thread_pool = DEFAULT_POOL if timeout_ms else self._op_pool
                call = self._session._make_callable_from_options(options)
                self._callables[signature.name, aliases, timeout_ms] = call
        return call


def check_types(signature: Signature, feeds: Mapping[str, Array]) -> None:
    """INVALID_ARGUMENT if an input does not have the type that the signature declares."""
    for position, (alias, endpoint) in enumerate(signature.inputs.items()):
        dtype, argument = endpoint.dtype, feeds[alias]
        if dtype is None or argument.dtype != dtype.numpy:
            raise errors.wrong_input_type(position, _servable(endpoint).name, _type_name(argument))


def load_model(path: Path, options: SessionOptions) -> Model:
    """Load the SavedModel in ``path``; any failure is a StatusError that GetModelStatus can show."""
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise StatusError(
            Code.NOT_FOUND,
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}. "
            "Check that the directory exists and that you have the right permissions for accessing it.",
        )
    config = options.config()
    graph = tf.Graph()
    try:
        with graph.as_default():
            session = tf.compat.v1.Session(graph=graph, config=config)
            meta_graph = tf.compat.v1.saved_model.load(session, list(options.tags), str(path))
        graph.finalize()
        pool = DEFAULT_POOL if config.inter_op_parallelism_threads > 1 else CALLER_THREAD
        return Model(session, _signature_defs(meta_graph), pool)
    except tf.errors.OpError as error:
        raise StatusError(Code(error.error_code), error.message) from error
    except OSError as error:
        raise StatusError(Code.DATA_LOSS, f"Can't read the SavedModel in {path}: {error}") from error
    except RuntimeError as error:  # no MetaGraph with these tags
        raise StatusError(Code.NOT_FOUND, str(error)) from error
    except Exception as error:  # whatever a damaged graph provokes must not take other models down
        raise StatusError(Code.UNKNOWN, f"{type(error).__name__}: {error}") from error


def _signature_defs(meta_graph: Any) -> dict[str, Any]:
    """Copies: a part of a message keeps the whole alive, which here is every node of the graph once more."""
    copies = {}
    for name, definition in meta_graph.signature_def.items():
        copies[name] = meta_graph_pb2.SignatureDef()
        copies[name].CopyFrom(definition)
    return copies


def _signature(name: str, proto: meta_graph_pb2.SignatureDef) -> Signature:
    return Signature(
        name,
        inputs=_endpoints(proto.inputs),
        outputs=_endpoints(proto.outputs),
        defaults={alias: decode(value) for alias, value in proto.defaults.items()},
    )


def _endpoints(infos: Mapping[str, Any]) -> dict[str, Endpoint]:
    return {alias: Endpoint(alias, infos[alias].name, DTYPES.get(infos[alias].dtype)) for alias in sorted(infos)}


def _servable(endpoint: Endpoint) -> Dtype:
    if endpoint.dtype is None:
        raise StatusError(
            Code.UNIMPLEMENTED,
            f"Tensor {endpoint.tensor or endpoint.alias!r} has a type that the embedded server cannot carry.",
        )
    return endpoint.dtype


def _type_name(array: Array) -> str:
    """TensorFlow's name for a numpy type."""
    return next((dtype.name for dtype in DTYPES.values() if dtype.numpy == array.dtype), str(array.dtype))

"""From a version directory to something that answers: load, batch if asked for, warm up.

This order is TensorFlow Serving's: the requests of the warm-up go through the batches too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

from tensorflow.core.protobuf import config_pb2

from serving.tfserving import config, flags
from serving.tfserving.batching import BatchedModel, Scheduler
from serving.tfserving.config import BatchingParameters
from serving.tfserving.errors import Code, SetupError, StatusError, invalid
from serving.tfserving.metrics import Metrics
from serving.tfserving.model import Runnable, SessionOptions, load_model
from serving.tfserving.plan import Plan
from serving.tfserving.warmup import warm_up

PER_MODEL_FILE = "batching_params.pbtxt"


def session_options(plan: Plan) -> SessionOptions:
    """How Sessions are made; SetupError if the ConfigProto file is not one."""
    settings = plan.settings
    threads = flags.parallelism(settings)
    base = None
    if plan.session_config:
        base = config_pb2.ConfigProto()
        config.parse_text(plan.session_config, base, "tensorflow.ConfigProto", settings.tensorflow_session_config_file)
    return SessionOptions(
        tags=tuple(settings.saved_model_tags.split(",")),
        intra_op_threads=threads.intra_op,
        inter_op_threads=threads.inter_op,
        gpu_memory_fraction=settings.per_process_gpu_memory_fraction,
        base=base,
    )


class Loader:
    """Loads versions as the plan asks for; ``say`` hears what was left out."""

    def __init__(self, plan: Plan, say: Callable[[str], None], metrics: Metrics | None = None) -> None:
        self._settings = plan.settings
        self._options = session_options(plan)
        self._batching = plan.batching
        self._scheduler = Scheduler(plan.batching.threads) if plan.batching is not None else None
        self._say = say
        self._metrics = metrics

    def __call__(self, path: Path) -> Runnable:
        """The model in ``path``, warm; StatusError if it cannot be had."""
        model: Runnable = load_model(path, self._options)
        batching = self._parameters(path)
        if batching is not None and self._scheduler is not None:
            model = BatchedModel(model, batching, self._scheduler, self._metrics)
        if self._settings.enable_model_warmup:
            self._warm_up(model, path)
        return model

    def _warm_up(self, model: Runnable, path: Path) -> None:
        started, status = perf_counter_ns(), Code.OK
        try:
            for kind in warm_up(model, path, max(self._settings.num_request_iterations_for_warmup, 1)):
                self._say(f"warm-up records of kind {kind} are left out by the embedded server (in {path})")
        except StatusError as error:
            status = error.code
            raise
        finally:
            if self._metrics is not None:
                self._metrics.warmed_up(str(path), status.name, (perf_counter_ns() - started) / 1000)

    def _parameters(self, path: Path) -> BatchingParameters | None:
        """How to batch this version; with a file for each model, one that has none is not batched."""
        if self._batching is None or not self._settings.enable_per_model_batching_parameters:
            return self._batching
        file = path / PER_MODEL_FILE
        if not file.is_file():
            return None
        try:
            return config.read_batching(file)
        except SetupError as error:
            raise invalid(str(error)) from error

"""Triton backend "tensorflow" (SavedModel) on the Python backend.

NVIDIA's releases from 25.03 on have no TensorFlow backend, so this is what serves a SavedModel there. The SavedModel
is loaded into a Session and run through a prepared callable, as TF Serving does; that costs about a third of a
signature call. That callable is fed from the machine's memory and answers there, on a GPU instance too: tensors that
are on the GPU already are copied by Triton, which is its default, and a model that forbids it is refused there.
"""

import os

import triton_python_backend_utils as pb_utils
from batch import execute
from batch_memory import STAY_ON_GPU
from batch_settings import ConfigError, Settings
from batch_strings import speed_up_strings


class TritonPythonModel:
    def initialize(self, args):
        self.settings = settings = Settings(args)
        on_gpu = args["model_instance_kind"] == "GPU"
        if on_gpu and settings.text(STAY_ON_GPU) == "no":  # to a CPU it is nothing: it has all tensors in its memory
            raise ConfigError(
                f"{STAY_ON_GPU} is no: TensorFlow's Session takes tensors from the host's memory only; "
                "leave that parameter out, and Triton copies them"
            )
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        if not on_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import tensorflow as tf

        speed_up_strings(pb_utils)
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=settings.number("TF_NUM_INTRA_THREADS"),
            inter_op_parallelism_threads=settings.number("TF_NUM_INTER_THREADS"),
            use_per_session_threads=settings.flag("TF_USE_PER_SESSION_THREADS", False),
            allow_soft_placement=True,
        )
        if settings.gpu is not None:
            if settings.gpu >= len(tf.config.list_physical_devices("GPU")):
                raise ConfigError(
                    f"the instance is on GPU {settings.gpu}, TensorFlow {tf.__version__} sees none of that number"
                )
            config.gpu_options.visible_device_list = str(settings.gpu)
            config.gpu_options.allow_growth = True
        path = os.path.join(pb_utils.get_model_dir(), settings.filename or "model.savedmodel")
        self.session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, [settings.text("TF_GRAPH_TAG", "serve")], path)
        self.run = self.session._make_callable_from_options(_callable_options(loaded.signature_def, settings))

    def execute(self, requests):
        return execute(requests, self.settings, self._call, pb_utils)

    def _call(self, inputs):
        return self.run(*[inputs[name] for name in self.settings.inputs])

    def is_ready(self):
        return self.run is not None

    def finalize(self):
        self.run = None
        self.session.close()


def _callable_options(signatures, settings):
    """What is fed and fetched: the tensors behind the signature's names."""
    from tensorflow.core.protobuf import config_pb2

    wanted = settings.text("TF_SIGNATURE_DEF", "serving_default")
    if wanted not in signatures:
        raise ConfigError(f"the SavedModel has no signature '{wanted}'; it has {', '.join(sorted(signatures))}")
    signature = signatures[wanted]
    for what, names, known in (
        ("input", settings.inputs, signature.inputs),
        ("output", settings.outputs, signature.outputs),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"config.pbtxt names {what} '{name}'; signature '{wanted}' has {', '.join(sorted(known))}"
                )
    options = config_pb2.CallableOptions()
    options.feed.extend(signature.inputs[name].name for name in settings.inputs)
    options.fetch.extend(signature.outputs[name].name for name in settings.outputs)
    return options

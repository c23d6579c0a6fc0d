"""Triton backend "tensorflow" (SavedModel) on the Python backend.

NVIDIA's releases from 25.03 on have no TensorFlow backend, so this is what serves a SavedModel there. The SavedModel
is loaded into a Session and run through a prepared callable, as TF Serving does; that costs about a third of a
signature call.
"""

import os

import triton_python_backend_utils as pb_utils
from batch import Settings, execute


class TritonPythonModel:
    def initialize(self, args):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        if args["model_instance_kind"] != "GPU":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import tensorflow as tf

        self.settings = settings = Settings(args)
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=settings.threads("TF_NUM_INTRA_THREADS"),
            inter_op_parallelism_threads=settings.threads("TF_NUM_INTER_THREADS"),
            allow_soft_placement=True,
        )
        if settings.gpu is not None:
            config.gpu_options.visible_device_list = str(settings.gpu)
            config.gpu_options.allow_growth = True
        path = os.path.join(pb_utils.get_model_dir(), settings.filename or "model.savedmodel")
        self.session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], path)
        signature = loaded.signature_def["serving_default"]
        self.run = self.session._make_callable_from_options(_callable_options(signature, settings))

    def execute(self, requests):
        return execute(requests, self.settings, self._call, pb_utils)

    def _call(self, inputs):
        return self.run(*[inputs[name] for name in self.settings.inputs])

    def finalize(self):
        self.run = None
        self.session.close()


def _callable_options(signature, settings):
    from tensorflow.core.protobuf import config_pb2

    options = config_pb2.CallableOptions()
    options.feed.extend(signature.inputs[name].name for name in settings.inputs)
    options.fetch.extend(signature.outputs[name].name for name in settings.outputs)
    return options

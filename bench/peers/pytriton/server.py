"""PyTriton, @batch over batches of up to 32. Triton's own protocol: the tensors of a request are binary."""

# mypy: ignore-errors
import os
import signal
import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])


@batch
def predict(tokens):
    return session.run(["logits"], {"tokens": tokens})


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(os.environ["PORT"]),
        grpc_address="127.0.0.1",
        grpc_port=int(os.environ["GRPC_PORT"]),
        allow_metrics=False,
    )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())  # else what it started outlives it
    with Triton(config=config) as triton:
        triton.bind(
            model_name="sentiment",
            infer_func=predict,
            inputs=[Tensor(name="tokens", dtype=np.int64, shape=(-1,))],
            outputs=[Tensor(name="logits", dtype=np.float32, shape=(2,))],
            config=ModelConfig(max_batch_size=32, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()

"""mosec, batches of up to 32. msgpack: {"tokens": bytes, "shape": […]} -> {"logits": bytes}."""

# mypy: ignore-errors
import os

import numpy as np
import onnxruntime
from mosec import Server, Worker
from mosec.mixin import MsgpackMixin


class Sentiment(MsgpackMixin, Worker):
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def forward(self, data):
        tokens = np.concatenate([np.frombuffer(item["tokens"], np.int64).reshape(item["shape"]) for item in data])
        (logits,) = self.session.run(["logits"], {"tokens": tokens})
        return [{"logits": row.tobytes()} for row in logits]


if __name__ == "__main__":
    os.environ |= {"MOSEC_ADDRESS": "127.0.0.1", "MOSEC_PORT": os.environ["PORT"], "MOSEC_LOG_LEVEL": "warning"}
    server = Server()
    server.append_worker(Sentiment, num=1, max_batch_size=32, max_wait_time=1)
    server.run()

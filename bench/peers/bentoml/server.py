"""BentoML, adaptive batches of up to 32. JSON: {"tokens": [[…]]} -> [[…]]."""

# mypy: ignore-errors
import os
import sys

import bentoml
import numpy as np


@bentoml.service(workers="cpu_count", logging={"access": {"enabled": False}})
class Sentiment:
    def __init__(self):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api(batchable=True, max_batch_size=32)
    def predict(self, tokens: np.ndarray) -> np.ndarray:
        return self.session.run(["logits"], {"tokens": tokens.astype(np.int64)})[0]


if __name__ == "__main__":
    words = ["serve", "server:Sentiment", "--host", "127.0.0.1", "--port", os.environ["PORT"]]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *words])  # noqa: S606

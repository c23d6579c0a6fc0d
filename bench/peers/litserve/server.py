"""LitServe, batches of up to 32, fast queue. JSON: {"tokens": [[…]]} -> {"logits": [[…]]}."""

# mypy: ignore-errors
import os

import litserve
import numpy as np
import onnxruntime


class Sentiment(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request):
        return np.array(request["tokens"][0], dtype=np.int64)

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, tokens):
        return self.session.run(["logits"], {"tokens": tokens})[0]

    def unbatch(self, logits):
        return logits.tolist()

    def encode_response(self, row):
        return {"logits": [row]}


if __name__ == "__main__":
    api = Sentiment(max_batch_size=32, batch_timeout=0.01, api_path="/predict")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=2,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )

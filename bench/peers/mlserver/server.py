"""MLServer, a runtime of our own, adaptive batches of up to 32. The V2 protocol as JSON over HTTP, and over gRPC."""

# mypy: ignore-errors
import asyncio
import os

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceResponse


class Sentiment(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload):
        tokens = NumpyCodec.decode_input(payload.inputs[0])
        (logits,) = self.session.run(["logits"], {"tokens": tokens})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)])


async def main():
    settings = Settings(
        host="127.0.0.1",
        http_port=int(os.environ["PORT"]),
        grpc_port=int(os.environ["GRPC_PORT"]),
        metrics_endpoint=None,
        debug=False,
        parallel_workers=0,
    )
    model = ModelSettings(
        name="sentiment",
        implementation=Sentiment,
        max_batch_size=32,
        max_batch_time=0.001,
        parameters=ModelParameters(version="1"),
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())

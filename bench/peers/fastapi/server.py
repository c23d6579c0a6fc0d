"""FastAPI under uvicorn, two workers. JSON: {"tokens": [[…]]} -> {"logits": [[…]]}; and bare bytes of one row."""

# mypy: ignore-errors
import os

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Question(BaseModel):
    tokens: list[list[int]]


class Answer(BaseModel):
    logits: list[list[float]]


@app.post("/predict")
async def predict(question: Question) -> Answer:
    (logits,) = session.run(["logits"], {"tokens": np.array(question.tokens, dtype=np.int64)})
    return Answer(logits=logits.tolist())


@app.post("/predict/bytes")
async def predict_bytes(request: Request) -> Response:
    tokens = np.frombuffer(await request.body(), dtype=np.int64)[None]
    (logits,) = session.run(["logits"], {"tokens": tokens})
    return Response(logits.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    uvicorn.run("server:app", host="127.0.0.1", port=port, workers=2, loop="uvloop", http="httptools", access_log=False)

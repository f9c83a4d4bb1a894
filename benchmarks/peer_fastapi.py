"""What most people would write: FastAPI, a Pydantic model, and a session of onnxruntime.

`python -m benchmarks.peer_fastapi GRAPH` listens on PEER_FASTAPI_PORT and answers POST /v1/genres
as the gateway does, but records nothing.
"""

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from trending_shared.features import normalise_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import INPUT, OUTPUT

HOST = "127.0.0.1"


class Item(BaseModel):
    text: str


class Request(BaseModel):
    items: list[Item]


def create_app(graph: bytes) -> FastAPI:
    app = FastAPI()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    @app.post("/v1/genres")
    def genres(asked: Request) -> dict[str, list[dict[str, dict[str, float]]]]:
        texts = np.array([[normalise_text(item.text)] for item in asked.items], dtype=object)
        (rows,) = session.run([OUTPUT], {INPUT: texts})
        return {
            "items": [
                {"probabilities": dict(zip(GENRES, row.tolist(), strict=True))} for row in rows
            ]
        }

    @app.get("/readyz")
    def readyz() -> str:
        return "ready"

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(Path(sys.argv[1]).read_bytes()),
        host=HOST,
        port=int(os.environ["PEER_FASTAPI_PORT"]),
        log_config=None,
        access_log=False,
    )

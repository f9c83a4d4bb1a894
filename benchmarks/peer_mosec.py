"""The fastest of our peers: Mosec, whose server is Rust, with a process of Python a core.

`python -m benchmarks.peer_mosec GRAPH` listens on PEER_MOSEC_PORT and answers POST /v1/genres as
the gateway does, but records nothing. PEER_MOSEC_WORKERS is how many processes there are.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
from mosec import Server, Worker

from trending_shared.features import normalise_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import INPUT, OUTPUT

HOST = "127.0.0.1"
GRAPH = os.environ.get("PEER_MOSEC_GRAPH", "")


class Genres(Worker):  # type: ignore[misc]
    """One process; Mosec hands it one request at a time."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            Path(GRAPH).read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def deserialize(self, data: bytes) -> Any:
        return orjson.loads(data)

    def serialize(self, data: Any) -> bytes:
        return orjson.dumps(data)

    def forward(self, data: Any) -> Any:
        texts = np.array([[normalise_text(item["text"])] for item in data["items"]], dtype=object)
        (rows,) = self._session.run([OUTPUT], {INPUT: texts})
        return {
            "items": [
                {"probabilities": dict(zip(GENRES, row.tolist(), strict=True))} for row in rows
            ]
        }


if __name__ == "__main__":
    graph, port = sys.argv[1], os.environ["PEER_MOSEC_PORT"]
    os.environ["PEER_MOSEC_GRAPH"] = graph  # its processes are started anew
    GRAPH = graph
    sys.argv[1:] = ["--address", HOST, "--port", port, "--log-level", "error"]
    server = Server()
    server.append_worker(Genres, num=int(os.environ["PEER_MOSEC_WORKERS"]), route="/v1/genres")
    server.run()

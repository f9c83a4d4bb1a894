"""The least a route of FastAPI does: answer with bytes that lie ready.

`python -m benchmarks.bare_route FILE` listens on BARE_ROUTE_PORT and answers every POST /v1/genres
with what the file holds, on a server that is set up as the gateway's.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

HOST = "127.0.0.1"


def create_app(body: bytes) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/genres")
    async def genres() -> Response:
        return Response(body, media_type="application/json")

    @app.get("/readyz")
    async def readyz() -> str:
        return "ready"

    return app


def main() -> None:
    config = uvicorn.Config(
        create_app(Path(sys.argv[1]).read_bytes()),
        host=HOST,
        port=int(os.environ["BARE_ROUTE_PORT"]),
        log_config=None,
        access_log=False,
    )
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()

"""The process of a service: settings, logs, and an ASGI server around it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Literal, TypeVar

import uvicorn

from trending_shared.errors import SettingInvalid, TrendingError
from trending_shared.logs import configure_logs
from trending_shared.settings import (
    KafkaSettings,
    ServiceSettings,
    describe_settings,
    read_settings,
)

S = TypeVar("S", bound=ServiceSettings)
_ACCEPTS = 16
App = Callable[[Any, Any, Any], Awaitable[None]]


def _brief_about_outages(app: App, told: list[TrendingError]) -> App:
    """What isn't there when a service starts is one line of its log; a bug keeps its traceback.

    Args:
        told: gets the error that was a line.
    """

    async def brief(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        failures = []

        async def hold_failures(message: Any) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message)
            else:
                await send(message)

        try:
            await app(scope, receive, hold_failures)
        except TrendingError as error:
            if not failures:
                raise
            told.append(error)
            await send({**failures[0], "message": f"{error.reason}: {error}"})
        except BaseException:
            for message in failures:
                await send(message)
            raise
        else:
            for message in failures:
                await send(message)

    return brief


class _Server(uvicorn.Server):
    """Says so when it is told to stop."""

    def __init__(self, config: uvicorn.Config, *, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._tell()
        super().handle_exit(sig, frame)


def _accepting(bound: socket.socket) -> list[socket.socket]:
    """A socket to listen on, several times: libuv accepts one connection of each a turn.

    With one alone a busy loop accepted some tens of connections a second, and the others waited in
    the kernel until it dropped them.
    """
    return [bound, *(bound.dup() for _ in range(_ACCEPTS - 1))]


def run(
    service: str,
    cls: type[S],
    create_app: Callable[[S], Any],
    *,
    listen: Callable[[S], socket.socket] | None = None,
    http: type[asyncio.Protocol] | Literal["auto"] = "auto",
    stopping: Callable[[Any], None] | None = None,
) -> None:
    """Be the process of a service until it is stopped.

    Args:
        listen: makes the socket to listen on, if it isn't simply the address of the settings.
        http: what speaks HTTP, if not one of uvicorn's own.
        stopping: called with the app, by the handler of the signal, before the server begins to
            wait for what it has accepted.

    Raises:
        SystemExit: a setting can't be used (status 78, EX_CONFIG), or the service can't start.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(
            f"usage: python -m trending_{service}\n\nSettings are environment variables:\n"
            f"{describe_settings(cls)}\n{describe_settings(KafkaSettings)}\n"
        )
        return
    try:
        settings = read_settings(cls)
        configure_logs(service=service, level=settings.log_level, format=settings.log_format)
        app = create_app(settings)
    except SettingInvalid as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(os.EX_CONFIG) from error
    outages: list[TrendingError] = []
    server = _Server(
        uvicorn.Config(
            _brief_about_outages(app, outages),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            http=http,
            server_header=False,  # tells whoever looks for one which hole to try
            lifespan="on",
            timeout_graceful_shutdown=30,
        ),
        stopping=lambda: stopping(app) if stopping else None,
    )
    # uvicorn finishes what it has accepted, and then raises the signal once more; to stop when one
    # is told to is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        sockets = _accepting(listen(settings)) if listen else None
    except OSError as error:
        sys.stderr.write(f"error: {settings.host}:{settings.port} can't be had: {error}\n")
        raise SystemExit(1) from error
    try:
        server.run(sockets)
    finally:
        if any(isinstance(error, SettingInvalid) for error in outages):
            raise SystemExit(os.EX_CONFIG)
    if not server.started:
        raise SystemExit(1)

"""Refusals that cost next to nothing, so that the crowd outside doesn't slow those who are in.

At three times what the gateway can do, two requests of three are refused. What each refusal takes
is taken from the answers. For the same reason they have no line each in the log, but one a second.
"""

import asyncio
import math
import re
from functools import lru_cache
from uuid import uuid4

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trending_inference.admission import Overloaded
from trending_inference.edge import SECURITY_HEADERS
from trending_inference.gateway import Gateway
from trending_inference.problems import answer_to

log = structlog.get_logger()

PATH = "/v1/genres"
_REQUEST = f"POST {PATH} HTTP/1.1\r\n".encode()
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,7})[ \t]*\r\n")
_PATIENCE = re.compile(rb"\r\nx-request-timeout:[ \t]*(\d{1,6}(?:\.\d{1,6})?)[ \t]*\r\n")
_ID = re.compile(rb"\r\nx-request-id:[ \t]*([A-Za-z0-9._:-]{1,128})[ \t]*\r\n", re.IGNORECASE)
_UNUSUAL = (b"\r\ntransfer-encoding:", b"\r\nexpect:", b"\r\nupgrade:", b"\r\nconnection:")
_STATUS = b"HTTP/1.1 503 Service Unavailable\r\n"
_PLACE = "REQUEST-ID"


class Door(HttpToolsProtocol):
    """uvicorn's protocol, but that it may refuse a request for genres before it parses it.

    Only what is one whole, plain request on a connection where nothing else is under way is looked
    at. Everything else goes in, and may be refused there. Nobody is asked for a key: that a gateway
    is busy is no secret.
    """

    def data_received(self, data: bytes) -> None:
        if data.startswith(_REQUEST) and self._between_requests():
            gateway: Gateway = self.app_state["gateway"]
            if gateway.admission.crowded and (refusal := _refusal(data, gateway)):
                self._unset_keepalive_if_required()
                self.app_state.setdefault("refused", Refused()).count(self.loop)
                usual = [b"%b: %b\r\n" % each for each in self.server_state.default_headers]
                self.transport.write(b"".join((_STATUS, *usual, refusal)))
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
                return
        super().data_received(data)

    def _between_requests(self) -> bool:
        if self.cycle is None:
            return self.scope is None
        # A scope is made for each message at its first byte, and a cycle once its head is there.
        done = self.cycle.response_complete and not self.cycle.more_body
        return done and self.cycle.scope is self.scope and not self.transport.is_closing()


class Refused:
    """Tells once a second how many were refused since."""

    def __init__(self) -> None:
        self._requests = 0

    def count(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._requests:
            loop.call_later(1.0, self._tell)
        self._requests += 1

    def _tell(self) -> None:
        log.info("requests_refused", route=PATH, status=503, requests=self._requests)
        self._requests = 0


def _refusal(data: bytes, gateway: Gateway) -> bytes | None:
    """What follows the status line of an answer to a request that can't be answered in time."""
    head, _, body = data.partition(b"\r\n\r\n")
    head += b"\r\n"
    lower = head.lower()
    length = _LENGTH.search(lower)
    if not length or len(body) != int(length[1]) or any(each in lower for each in _UNUSUAL):
        return None
    within = gateway.settings.timeout.total_seconds()
    if patience := _PATIENCE.search(lower):
        within = min(within, float(patience[1]))
    wait = gateway.admission.shortage(1, within)
    if wait is None:
        return None
    gateway.metrics.shed.inc()
    gateway.metrics.requests.labels(PATH, "503").inc()
    given = _ID.search(head)
    request_id = given[1] if given else str(uuid4()).encode()
    return _template(math.ceil(wait), len(request_id)).replace(_PLACE.encode(), request_id)


@lru_cache(256)
def _template(wait: int, id_length: int) -> bytes:
    """What the edge would have answered, with a place for the id."""
    response = answer_to(Overloaded("", retry_after=wait), _PLACE)
    assert response is not None
    shown = {**response.headers, **SECURITY_HEADERS, "x-request-id": _PLACE}
    shown["content-length"] = str(len(response.body) - len(_PLACE) + id_length)
    head = "".join(f"{name}: {value}\r\n" for name, value in shown.items())
    return head.encode() + b"\r\n" + response.body

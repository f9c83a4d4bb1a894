"""Who may do what, and how often: asked of every request before anything else is done for it.

No route takes part in this: a path that nobody has thought of needs the scope that is given least.
"""

import hmac
import math
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple, Self

import structlog

from trending_inference.problems import Problem, ProblemApp
from trending_inference.rates import Rate
from trending_inference.settings import InferenceSettings, is_loopback
from trending_shared.api_keys import ANONYMOUS, LENGTH, PREFIX, ApiKey, Scope, hash_key
from trending_shared.clock import Clock

log = structlog.get_logger()

Headers = Iterable[tuple[bytes, bytes]]

_PROBES = frozenset({"/healthz", "/readyz"})
_PREDICTIONS = frozenset({"/v1/genres", "/v1/insights", "/v1/feedback"})
_SCHEME = b"bearer "
_NOBODY = ApiKey(ANONYMOUS, frozenset(), bytes(32))  # compared with where no key is known
_REALM = 'Bearer realm="trending"'


class Caller(NamedTuple):
    """Who asks."""

    name: str
    """A key's name, or `anonymous`; may be told to everybody."""
    account: str
    """What is counted against: a key's name, or else an address, which is for no log."""


def needed_scope(method: str, path: str) -> Scope | None:
    """What a request needs; none for what anybody may ask.

    Probes are asked by what has no key. What the page is made of is the same in every copy of this
    package. Metrics tell how much is asked of us and are read like all else: Prometheus can send a
    key.
    """
    if path in _PROBES or path.startswith("/static/"):
        return None
    if method in ("GET", "HEAD", "OPTIONS"):
        return Scope.READ
    return Scope.PREDICT if path in _PREDICTIONS else Scope.OPERATE


class KeyRing:
    """Finds the key that was sent, and takes as long for one that isn't there.

    Keys are found by the beginning of their hashes, and the hashes compared whole in constant time.
    Whoever tries keys can't choose their hashes, so neither tells how near a try was.
    """

    def __init__(
        self,
        keys: Iterable[ApiKey],
        *,
        compare: Callable[[bytes, bytes], bool] = hmac.compare_digest,
    ) -> None:
        self._keys = {key.digest[:8]: key for key in keys}
        self._compare = compare

    def find(self, sent: bytes) -> ApiKey | None:
        digest = hash_key(sent)
        key = self._keys.get(digest[:8], _NOBODY)
        return key if self._compare(key.digest, digest) and key is not _NOBODY else None


class Access:
    """Lets requests in, each under the name of its caller.

    Args:
        open_scopes: what needs no key.
        at_home: everything is open and nothing is counted, but to callers of this machine only.
    """

    def __init__(
        self,
        keys: Collection[ApiKey],
        *,
        open_scopes: Collection[Scope] = (),
        at_home: bool = False,
        requests: Rate,
        texts: Rate,
        clock: Clock,
    ) -> None:
        self._ring = KeyRing(keys)
        self._open = frozenset(open_scopes)
        self._at_home = at_home
        self._requests = requests
        self._texts = texts
        self._clock = clock

    @classmethod
    def of(cls, settings: InferenceSettings, clock: Clock) -> Self:
        """As the settings say."""
        if settings.open_scopes:
            log.warning("open_without_a_key", scopes=sorted(settings.open_scopes))
        return cls(
            settings.api_keys,
            open_scopes=settings.open_scopes,
            at_home=settings.at_home,
            requests=Rate("requests", settings.requests_per_minute),
            texts=Rate("texts", settings.texts_per_minute),
            clock=clock,
        )

    def admit(self, *, method: str, path: str, headers: Headers, client: str) -> Caller:
        """Who asks this, if it is permitted; a request for a prediction pays for one text.

        Args:
            headers: as ASGI has them, names in lower case.
            client: the address that the request came from.

        Raises:
            Problem: 401, 403 or 429.
        """
        scope = needed_scope(method, path)
        if scope is None:
            return Caller(ANONYMOUS, ANONYMOUS)
        if self._at_home:
            if is_loopback(client) and _names_loopback(_values(headers, b"host")):
                return Caller(ANONYMOUS, ANONYMOUS)
            detail = "no keys are set, so only this machine is answered, asked as localhost"
            raise _unauthorized("key-missing", detail)
        key = self._key(headers)
        if scope not in self._open:
            if key is None:
                raise _unauthorized("key-missing", "send the header Authorization: Bearer KEY")
            if scope not in key.scopes:
                log.info("key_refused", key=key.name, reason=f"not for {scope}")
                raise Problem(
                    403,
                    "scope-missing",
                    f"this needs a key for {scope}",
                    headers=_challenge(f'error="insufficient_scope", scope="{scope}"'),
                )
        caller = Caller(key.name, key.name) if key else Caller(ANONYMOUS, _network(client))
        _take(self._texts if scope is Scope.PREDICT else self._requests, caller.account, 1)
        return caller

    def charge(self, account: str, texts: int) -> None:
        """Count all texts of a request that was admitted; its first one is paid for.

        Raises:
            Problem: 429.
        """
        if texts > 1 and not self._at_home:
            _take(self._texts, account, texts - 1)

    def _key(self, headers: Headers) -> ApiKey | None:
        """The key that was sent, if any was; raises `Problem` for anything but a good one."""
        sent = _values(headers, b"authorization")
        if not sent:
            return None
        value = sent[0]
        if len(sent) == 1 and value[: len(_SCHEME)].lower() == _SCHEME:
            token = value[len(_SCHEME) :].strip()
            key = self._ring.find(token) if len(token) <= LENGTH else None
            if key and not key.expired(self._clock.now()):
                return key
            if key:
                log.info("key_refused", key=key.name, reason="expired")
        raise _unauthorized("key-invalid", "this isn't a key that is known here", "invalid_token")


class GuardedApp(ProblemApp):
    """A gateway whose OpenAPI description says what key each operation needs."""

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        schema["components"]["securitySchemes"] = {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": f"{PREFIX}…",
                "description": "A key for the scope that is named; a gateway may be told to ask "
                "for none.",
            }
        }
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                operation["security"] = [{"key": [needed_scope(method.upper(), path)]}]
        return schema


def _names_loopback(hosts: list[bytes]) -> bool:
    """Whether this machine was asked under its own name.

    A page of another site, whose name was made to lead here, sends that name; so do proxies.
    """
    return len(hosts) == 1 and len(hosts[0]) < 100 and _host_is_loopback(hosts[0])


@lru_cache(256)
def _host_is_loopback(host: bytes) -> bool:
    name = host.decode("latin-1").lower()
    if name.startswith("["):
        return is_loopback(name[1:].partition("]")[0])
    return is_loopback(name.partition(":")[0])


@lru_cache(1024)
def _network(client: str) -> str:
    """An address, of IPv6 the /64: whoever has one has all of them."""
    try:
        address = ip_address(client)
    except ValueError:
        return ANONYMOUS
    if not isinstance(address, IPv6Address):
        return client
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for each, value in headers if each == name]


def _take(rate: Rate, account: str, count: int) -> None:
    wait = rate.take(account, count)
    if not wait:
        return
    seconds = math.ceil(wait)
    raise Problem(
        429,
        "rate-exceeded",
        f"{rate.per_minute} {rate.what} a minute are answered; come again in {seconds} s",
        # The last two as draft-ietf-httpapi-ratelimit-headers-10 has them.
        headers={
            "Retry-After": str(seconds),
            "RateLimit-Policy": f'"{rate.what}";q={rate.per_minute};w=60',
            "RateLimit": f'"{rate.what}";r={rate.left(account)};t={seconds}',
        },
    )


def _challenge(what: str = "") -> dict[str, str]:
    """As RFC 6750 has it; without a key there is nothing to say of it."""
    return {"WWW-Authenticate": f"{_REALM}, {what}" if what else _REALM}


def _unauthorized(kind: str, detail: str, error: str = "") -> Problem:
    what = f'error="{error}"' if error else ""
    return Problem(401, kind, detail, headers=_challenge(what))

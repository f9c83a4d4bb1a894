"""Ports of this machine."""

import random
import socket

HOST = "127.0.0.1"
_PORTS = range(20_000, 30_000)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on right now.

    Not from bind(0): a client that keeps trying a dead port of the ephemeral range can be connected
    to itself (RFC 9293, simultaneous open), and would hold the port against the server's return.
    """
    free = (port for port in random.sample(_PORTS, len(_PORTS)) if is_free(port))
    return [next(free) for _ in range(count)]


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        # As servers do it: lingering connections of an earlier one don't keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def accepts(address: str) -> bool:
    """Whether somebody listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except (OSError, ValueError):
        return False
    return True

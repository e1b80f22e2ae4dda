"""Choosing TCP ports on the loopback interface."""

import errno
import random
import socket
from collections.abc import Collection

from deploy.local.errors import StackError

LOOPBACK = "127.0.0.1"

# Below every system's ephemeral range on purpose. A client that keeps connecting to a dead ephemeral port
# of its own machine can end up connected to itself, and then the broker cannot take its port back.
LOWEST, HIGHEST = 20_000, 31_999


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def pick(preferred: int | None, taken: Collection[int]) -> int:
    """The preferred port if it is free and not in `taken`, else a random free one."""
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(200):
        port = random.randint(LOWEST, HIGHEST)
        if port not in taken and is_free(port):
            return port
    raise StackError(f"No free port between {LOWEST} and {HIGHEST}. Stop something that listens there.")

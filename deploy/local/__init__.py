"""A real Kafka and a real PostgreSQL on this machine, without containers and without root.

`python -m deploy.local up` for people, `up`, `down`, `status` and `Stack` for tests and benches.
"""

from deploy.local.errors import StackError
from deploy.local.stack import Endpoints, Stack, Status, down, status, up, wipe

__all__ = ["Endpoints", "Stack", "StackError", "Status", "down", "status", "up", "wipe"]

"""The engine's name for the failpoints of all services."""

from libs.runtime.failpoints import EXIT_CODE, failpoint

__all__ = ["EXIT_CODE", "failpoint"]

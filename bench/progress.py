"""What the bench says while it works: to the person at the terminal, never into the report."""

from __future__ import annotations

from rich.console import Console

_console = Console(stderr=True)


def say(text: str) -> None:
    """One line, now."""
    _console.print(text, style="dim", highlight=False, markup=False)

"""What the bench of a hundred connections in one process showed: they must not take all of PostgreSQL's connections."""

from __future__ import annotations

from services.sinks.__main__ import pool_size

_ALLOWED_BY_DEFAULT = 100  # PostgreSQL's max_connections


def test_a_process_with_many_connections_leaves_database_connections_for_the_others() -> None:
    """Small processes get what each engine needs; three large ones together still find room."""
    assert pool_size(1) == 10
    assert 3 * pool_size(100) < _ALLOWED_BY_DEFAULT

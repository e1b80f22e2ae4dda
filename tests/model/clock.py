"""Time that jumps: hours pass in seconds, and the same seed gives the same run.

An event loop whose clock moves to the next timer as soon as nothing is left to do; while an answer of the real
PostgreSQL is awaited it stands still, and that answer is looked at only when everything else has come to rest. What the
product asks for the time (`datetime.now`, `time.time`, `time.monotonic`, PostgreSQL's `now()`) is told this clock's.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

START = datetime(2026, 11, 19, 8, 0, tzinfo=UTC)
# A real answer that takes longer than this (seconds) never comes.
_PATIENCE = 60.0


class NothingLeft(Exception):
    """Everybody waits for somebody else, and no timer is set."""


class _Selector(selectors.DefaultSelector):
    """Waits for real answers only while one is expected; else lets time pass."""

    now = 0.0
    expected = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return []  # something can go on at once: an answer that is here already must not be faster by chance
        if self.expected:
            ready = super().select(_PATIENCE)
            if not ready:
                raise NothingLeft("PostgreSQL does not answer")
            return ready
        if timeout is None:
            raise NothingLeft
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop with that clock."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the start, in virtual time."""
        return self._jumping.now

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """A real answer is awaited: time stands still."""
        self._jumping.expected += 1
        try:
            yield
        finally:
            self._jumping.expected -= 1


class Clock:
    """What the time is, for Python and for PostgreSQL, which reads it from `file`."""

    def __init__(self, loop: VirtualLoop, file: Path) -> None:
        self._loop, self._told = loop, ""
        self._file = os.open(file, os.O_CREAT | os.O_WRONLY)
        self.tell_database()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._loop.time()

    @property
    def now(self) -> datetime:
        """The time of day."""
        return START + timedelta(seconds=self._loop.time())

    @property
    def wall(self) -> float:
        """Seconds since 1970."""
        return self.now.timestamp()

    def tell_database(self) -> None:
        """Before a statement: it sees this time."""
        text = self.now.isoformat(timespec="microseconds")
        if text != self._told:
            os.pwrite(self._file, text.encode(), 0)
            self._told = text

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    @contextmanager
    def rules(self) -> Iterator[None]:
        """Give every module of the product this clock."""
        clock = self

        class Virtual(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Virtual:
                return cls.fromtimestamp(clock.now.timestamp(), tz)

        times = SimpleNamespace(**{**vars(time), "monotonic": lambda: clock.seconds, "time": lambda: clock.wall})
        patched: list[tuple[Any, str, Any]] = []
        for name, module in list(sys.modules.items()):
            if not name.startswith("libs.runtime"):
                continue
            for attribute, real, virtual in (("datetime", datetime, Virtual), ("time", time, times)):
                if vars(module).get(attribute) is real:
                    patched.append((module, attribute, real))
                    setattr(module, attribute, virtual)
        try:
            yield
        finally:
            for module, attribute, real in patched:
                setattr(module, attribute, real)


# Before everything in the search path: the product's own statements find these first.
DATABASE_CLOCK = """
create schema clock;
create function clock.now() returns timestamptz language plpgsql stable as
    $body$ begin return pg_catalog.pg_read_file('{file}')::timestamptz; end $body$;
create function clock.clock_timestamp() returns timestamptz language plpgsql volatile as
    $body$ begin return pg_catalog.pg_read_file('{file}')::timestamptz; end $body$;
do $do$ declare it record; begin
    for it in select table_name, column_name from information_schema.columns
        where table_schema = 'public' and column_default = 'now()'
    loop execute format('alter table %I alter column %I set default clock.now()', it.table_name, it.column_name);
    end loop;
    execute format('alter database %I set search_path = clock, pg_catalog, public', current_database());
end $do$;
"""

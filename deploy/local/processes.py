"""Servers as operating-system processes: started detached, recognised after a restart of ours, stopped for sure.

A pid alone proves nothing, because the system hands pids out again. A server is known by its pid together
with its start mark, and signals go only to a process whose start mark still fits.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# Children of this very process must be reaped, or they stay as zombies and look alive.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    """A server process: its pid and the mark of when it started."""

    pid: int
    started: str


@dataclass(frozen=True)
class Account:
    """The user a server runs as when it must not be the current one."""

    uid: int
    gid: int


def start_mark(pid: int) -> str | None:
    """What tells this process from a later one with the same pid, or None if it does not run (any more)."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
    try:
        process = psutil.Process(pid)
        # A server of many threads shows as a zombie while some of them still end and hold its files and ports.
        if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
            return None
        if not sys.platform.startswith("linux"):
            return f"{process.create_time():.2f}"
        # Clock ticks since boot: unlike a wall-clock time, it does not move when the clock is set.
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{after_name.split()[19]}"
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def is_running(process: Process | None) -> bool:
    """Whether exactly this process still runs (a paused one counts as running)."""
    return process is not None and start_mark(process.pid) == process.started


def is_paused(process: Process | None) -> bool:
    """Whether the process is stopped by SIGSTOP."""
    try:
        return (
            process is not None
            and is_running(process)
            and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
        )
    except psutil.NoSuchProcess:
        return False


def start(
    command: Sequence[str | Path],
    log: Path,
    *,
    account: Account | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a server in a session of its own (a Ctrl-C of the caller does not reach it), output to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=None if environment is None else dict(environment),
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    _children[child.pid] = child
    # A process that ended at once has no mark; an empty one fits nothing later on.
    return Process(child.pid, start_mark(child.pid) or "")


def find(matches: Callable[[list[str]], bool]) -> Process | None:
    """The running process whose command line matches: finds a server whose record was lost in a crash of ours."""
    for candidate in psutil.process_iter(["cmdline"]):
        if matches(candidate.info["cmdline"] or []):
            mark = start_mark(candidate.pid)
            if mark is not None:
                return Process(candidate.pid, mark)
    return None


def send(process: Process | None, number: signal.Signals) -> bool:
    """Signal the process if it is still the one we started; says whether it was."""
    if process is None or not is_running(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Wait for the processes to end; returns those that still run after `seconds`."""
    left = [process for process in processes if is_running(process)]
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [process for process in left if is_running(process)]
    return left


def stop(process: Process | None, *, politely: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process to end. A paused one is woken first, or it would never hear the request."""
    if send(process, politely):
        send(process, signal.SIGCONT)


def kill(processes: Iterable[Process | None], seconds: float = 10) -> None:
    """SIGKILL the processes and wait until they are gone."""
    hit = [process for process in processes if process is not None and send(process, signal.SIGKILL)]
    wait_gone(hit, seconds)


def children(process: Process) -> list[Process]:
    """The processes started by this one, at any depth."""
    if not is_running(process):
        return []
    try:
        found = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    marks = ((child.pid, start_mark(child.pid)) for child in found)
    return [Process(pid, mark) for pid, mark in marks if mark is not None]


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for a message to a person."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 32_768))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return "(the log is empty)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-count:]) or "(the log is empty)"


def rotate(log: Path, larger_than: int = 5_000_000) -> None:
    """Put a large log (in bytes) aside as `<name>.1`, so that logs of a long-lived stack stay bounded."""
    if log.exists() and log.stat().st_size > larger_than:
        log.replace(log.with_name(f"{log.name}.1"))

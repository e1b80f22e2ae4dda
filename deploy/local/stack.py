"""A stack: brokers and a PostgreSQL server that belong together, known by the folder they live in."""

import base64
import concurrent.futures
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local import jars, java, kafka, ports, postgres, processes, state
from deploy.local.errors import StackError
from deploy.local.layout import DEFAULT_STACK
from deploy.local.processes import Process
from deploy.local.state import Broker, Postgres, State

STOP_S = 20.0
"""How long servers may take to end politely before they are killed."""

_KAFKA_PORT, _POSTGRES_PORT = 19092, 5433
_SESSION_TIMEOUT_MS = 3000


@dataclass(frozen=True)
class Endpoints:
    """Where clients connect: `127.0.0.1:19092` (several brokers by comma), and a PostgreSQL URL."""

    kafka: str
    postgres: str


@dataclass(frozen=True)
class Status:
    """What runs. `servers` maps a server's name to `ready`, `starting`, `paused` or `stopped`."""

    directory: Path
    endpoints: Endpoints | None
    servers: dict[str, str]

    @property
    def ready(self) -> bool:
        """Whether everything of the stack answers."""
        return bool(self.servers) and set(self.servers.values()) == {"ready"}


def _silent(_text: str) -> None:
    """Say nothing."""


class Stack:
    """A stack that `up` has made, for tests that break it: each call reads and keeps what is remembered."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._load()

    @property
    def endpoints(self) -> Endpoints:
        """Where clients connect."""
        return _endpoints(self.directory, self._load())

    @property
    def outside_ports(self) -> tuple[tuple[int, int], ...]:
        """Of each broker the port it tells clients from outside, and the one where it hears them; see `up`."""
        return tuple(
            (each.told_port, each.heard_port) for each in self._load().brokers if each.told_port and each.heard_port
        )

    def kill_broker(self, node: int) -> None:
        """End a broker as a crash would (SIGKILL); returns when it is gone. Nodes count from 1."""
        with self._memory() as memory:
            processes.kill([_node(self.directory, memory, node).broker.process])

    def stop_broker(self, node: int) -> None:
        """End a broker politely, as a rolling restart does."""
        with self._memory() as memory:
            _stop([_node(self.directory, memory, node)], None)

    def start_broker(self, node: int) -> None:
        """Start a broker that was killed or stopped; returns when it answers."""
        with self._memory() as memory:
            target = _node(self.directory, memory, node)
            if not processes.is_running(target.broker.process):
                for port in (target.broker.port, target.broker.controller_port):
                    if not ports.is_free(port):
                        raise StackError(f"Port {port} of broker {node} was taken meanwhile. Call `up` instead.")
                target.broker.process = target.start(_runtime(_silent))
                state.save(self.directory, memory)
        target.await_ready([node])

    def pause_broker(self, node: int) -> None:
        """Freeze a broker (SIGSTOP): its connections stay open and nothing answers."""
        with self._memory() as memory:
            processes.send(_node(self.directory, memory, node).broker.process, signal.SIGSTOP)

    def resume_broker(self, node: int) -> None:
        """Let a frozen broker go on."""
        with self._memory() as memory:
            processes.send(_node(self.directory, memory, node).broker.process, signal.SIGCONT)

    def kill_postgres(self) -> None:
        """End PostgreSQL as a crash would (SIGKILL to all its processes); returns when it is gone."""
        with self._memory() as memory:
            _server(self.directory, memory).kill()

    def start_postgres(self) -> None:
        """Start a PostgreSQL that was killed; returns when it takes connections."""
        with self._memory() as memory:
            server = _server(self.directory, memory)
            if not processes.is_running(server.process):
                if not ports.is_free(server.port):
                    raise StackError(f"Port {server.port} of PostgreSQL was taken meanwhile. Call `up` instead.")
                _remember_postgres(self.directory, memory, server)
        server.await_ready()

    def pause_postgres(self) -> None:
        """Freeze PostgreSQL and all its workers (SIGSTOP): connections stay open and nothing answers."""
        with self._memory() as memory:
            _server(self.directory, memory).signal_all(signal.SIGSTOP)

    def resume_postgres(self) -> None:
        """Let a frozen PostgreSQL go on."""
        with self._memory() as memory:
            _server(self.directory, memory).signal_all(signal.SIGCONT)

    @contextmanager
    def _memory(self) -> Iterator[State]:
        with state.locked(self.directory):
            yield self._load()

    def _load(self) -> State:
        memory = state.load(self.directory)
        if memory is None:
            raise StackError(f"There is no stack in {self.directory}. Start one with `python -m deploy.local up`.")
        return memory


def up(
    directory: Path = DEFAULT_STACK,
    *,
    brokers: int | None = None,
    session_timeout_ms: int | None = None,
    outside: bool = False,
    say: Callable[[str], None] = print,
) -> Endpoints:
    """Start what does not run yet and wait until all of it answers. A second call returns at once.

    `brokers` is 1 (a new stack's default), or 3 for a cluster that survives the loss of one; it is fixed until the
    stack is wiped.
    `session_timeout_ms` is how long the cluster waits for a silent broker before it moves its partitions.
    `outside` gives the brokers of a new stack a second listener for clients that come through a proxy, which the caller
    sets up between the ports of `Stack.outside_ports`: clients follow what a broker tells them, so all they send goes
    through it, while brokers talk to each other directly.
    """
    directory = directory.resolve()
    with state.locked(directory):
        memory = state.load(directory)
        if memory is None:
            memory = _new_state(directory, brokers or 1, outside=outside)
        if brokers not in (None, len(memory.brokers)):
            raise StackError(
                f"The stack in {directory} has {len(memory.brokers)} broker(s), not {brokers}. "
                "Wipe it first, or use another --dir."
            )
        if session_timeout_ms is not None and session_timeout_ms != memory.session_timeout_ms:
            if any(processes.is_running(broker.process) for broker in memory.brokers):
                raise StackError(f"The session timeout of {directory} changes at a start only: run `down` first.")
            memory.session_timeout_ms = session_timeout_ms
        if _status(directory, memory).ready:
            return _endpoints(directory, memory)
        began = time.monotonic()
        _start(directory, memory, say)
        endpoints = _endpoints(directory, memory)
    say(f"Kafka {endpoints.kafka} and PostgreSQL {endpoints.postgres} are ready in {time.monotonic() - began:.1f} s.")
    return endpoints


def down(directory: Path = DEFAULT_STACK) -> None:
    """End the stack's servers, and nothing else. Their data stays."""
    directory = directory.resolve()
    if not directory.exists():
        return
    with state.locked(directory):
        memory = state.load(directory)
        if memory is not None:
            _adopt(directory, memory)
            _stop(_nodes(directory, memory), None if memory.postgres is None else _server(directory, memory))
            _forget_processes(memory)
            state.save(directory, memory)


def wipe(directory: Path = DEFAULT_STACK) -> None:
    """End the stack's servers and delete everything they hold."""
    directory = directory.resolve()
    if not directory.exists():
        return
    if not (directory / "stack.json").exists() and {path.name for path in directory.iterdir()} - {"lock"}:
        raise StackError(f"{directory} does not hold a stack, so it is not deleted.")
    with state.locked(directory):
        memory = state.load(directory)
        if memory is not None:
            _adopt(directory, memory)
            nodes, server = _nodes(directory, memory), _server(directory, memory)
            if kafka.archive_exists():
                # Nothing of it is needed any more, so there is nothing to wait for.
                server.kill()
                processes.kill(node.broker.process for node in nodes)
            else:
                _stop(nodes, server)
            shutil.rmtree(server.home, ignore_errors=True)
        shutil.rmtree(directory)


def status(directory: Path = DEFAULT_STACK) -> Status:
    """What of the stack runs now."""
    directory = directory.resolve()
    memory = state.load(directory)
    return Status(directory, None, {}) if memory is None else _status(directory, memory)


def _new_state(directory: Path, brokers: int, *, outside: bool) -> State:
    if brokers not in (1, 3):
        raise StackError("A stack has 1 broker, or 3.")
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if cluster_id.startswith("-"):
        # Kafka's command line would take it for an option.
        cluster_id = f"A{cluster_id[1:]}"
    taken: set[int] = set()
    default = directory == DEFAULT_STACK

    def port(preferred: int | None) -> int:
        # Only the everyday stack asks for well-known ports: several test stacks would race for them.
        chosen = ports.pick(preferred if default else None, taken)
        taken.add(chosen)
        return chosen

    numbers = range(brokers)
    nodes = [
        Broker(number + 1, port(_KAFKA_PORT + 2 * number), port(_KAFKA_PORT + 2 * number + 1)) for number in numbers
    ]
    if outside:
        for node in nodes:
            node.told_port, node.heard_port = port(None), port(None)
    server = Postgres(port(_POSTGRES_PORT), str(postgres.make_home(directory)))
    memory = State(cluster_id, _SESSION_TIMEOUT_MS, nodes, server)
    state.save(directory, memory)
    return memory


def _start(directory: Path, memory: State, say: Callable[[str], None]) -> None:
    _adopt(directory, memory)
    _settle_ports(directory, memory, say)
    if memory.postgres is not None and not Path(memory.postgres.home).exists():
        say(f"PostgreSQL's data is gone: {memory.postgres.home} was deleted. Making a new, empty database.")
        memory.postgres.home = str(postgres.make_home(directory))
    state.save(directory, memory)
    server = _server(directory, memory)
    nodes = _nodes(directory, memory)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        preparing = pool.submit(server.initialise)
        runtime = _runtime(say)
        for node in nodes:
            if not processes.is_running(node.broker.process):
                node.write_settings(memory)
        for formatted in [pool.submit(node.format, runtime, memory.cluster_id) for node in nodes]:
            formatted.result()
        preparing.result()
    say(f"Starting {len(nodes)} Kafka broker(s) and PostgreSQL ...")
    # Each process is remembered the moment it exists, so that a crash of ours loses none.
    for node in nodes:
        if not processes.is_running(node.broker.process):
            node.broker.process = node.start(runtime)
            state.save(directory, memory)
        elif processes.is_paused(node.broker.process):
            processes.send(node.broker.process, signal.SIGCONT)
    if not processes.is_running(server.process):
        _remember_postgres(directory, memory, server)
    elif processes.is_paused(server.process):
        server.signal_all(signal.SIGCONT)
    server.await_ready()
    for node in nodes:
        node.await_ready([each.broker.node for each in nodes])


def _remember_postgres(directory: Path, memory: State, server: postgres.Server) -> None:
    if memory.postgres is not None:
        memory.postgres.process = server.start()
        state.save(directory, memory)


def _settle_ports(directory: Path, memory: State, say: Callable[[str], None]) -> None:
    """Give new ports to stopped servers whose ports a stranger has taken."""
    taken = {port for broker in memory.brokers for port in (broker.port, broker.controller_port)}
    if memory.postgres is not None:
        taken.add(memory.postgres.port)
        if not processes.is_running(memory.postgres.process) and not ports.is_free(memory.postgres.port):
            memory.postgres.port = _another(memory.postgres.port, taken, say)
    stopped = [broker for broker in memory.brokers if not processes.is_running(broker.process)]
    lost = [broker for broker in stopped if not (ports.is_free(broker.port) and ports.is_free(broker.controller_port))]
    if lost:
        # Every node's settings name all controllers, so all of them start anew.
        _stop(_nodes(directory, memory), None)
    for broker in lost:
        if not ports.is_free(broker.port):
            broker.port = _another(broker.port, taken, say)
        if not ports.is_free(broker.controller_port):
            broker.controller_port = _another(broker.controller_port, taken, say)


def _another(port: int, taken: set[int], say: Callable[[str], None]) -> int:
    chosen = ports.pick(None, taken)
    taken.add(chosen)
    say(f"Port {port} is taken by another program: using {chosen}.")
    return chosen


def _adopt(directory: Path, memory: State) -> None:
    """Recognise servers of this stack that run although the memory does not know them."""
    for node in _nodes(directory, memory):
        if not processes.is_running(node.broker.process):
            node.broker.process = node.find()
    if memory.postgres is not None and not processes.is_running(memory.postgres.process):
        memory.postgres.process = _server(directory, memory).find()


def _stop(nodes: list[kafka.Node], server: postgres.Server | None) -> None:
    """End servers politely, all at once, and kill what does not end in time."""
    asked = [node for node in nodes if processes.is_running(node.broker.process)]
    running = [node.broker.process for node in asked if node.broker.process is not None]
    for node in asked:
        node.ask_to_stop()
    if server is not None:
        server.ask_to_stop()
        if server.process is not None:
            running.append(server.process)
    left = processes.wait_gone(running, STOP_S)
    if server is not None and server.process in left:
        server.kill()
    processes.kill(left)
    for node in asked:
        if node.broker.process not in left:
            node.keep_archive()


def _forget_processes(memory: State) -> None:
    for broker in memory.brokers:
        broker.process = None
    if memory.postgres is not None:
        memory.postgres.process = None


def _runtime(say: Callable[[str], None]) -> kafka.Runtime:
    return kafka.Runtime(java.find(say), tuple(jars.install(say)))


def _nodes(directory: Path, memory: State) -> list[kafka.Node]:
    return [kafka.Node(directory, broker) for broker in memory.brokers]


def _node(directory: Path, memory: State, number: int) -> kafka.Node:
    for node in _nodes(directory, memory):
        if node.broker.node == number:
            return node
    raise StackError(f"This stack has brokers 1 to {len(memory.brokers)}, and no {number}.")


def _server(directory: Path, memory: State) -> postgres.Server:
    if memory.postgres is None:
        raise StackError(f"The stack in {directory} has no PostgreSQL. Wipe it and run `up` again.")
    record = memory.postgres
    return postgres.Server(Path(record.home), record.port, directory / "logs" / "postgres.log", record.process)


def _endpoints(directory: Path, memory: State) -> Endpoints:
    addresses = ",".join(f"{ports.LOOPBACK}:{broker.port}" for broker in memory.brokers)
    return Endpoints(addresses, _server(directory, memory).url)


def _status(directory: Path, memory: State) -> Status:
    everyone = {broker.node for broker in memory.brokers}

    def sees_everyone(broker: Broker) -> bool:
        return kafka.alive_brokers(broker.port) >= everyone

    servers = {f"kafka-{each.node}": _word(each.process, partial(sees_everyone, each)) for each in memory.brokers}
    server = _server(directory, memory)
    servers["postgres"] = _word(server.process, server.is_ready)
    return Status(directory, _endpoints(directory, memory), servers)


def _word(process: Process | None, answers: Callable[[], bool]) -> str:
    if process is None or not processes.is_running(process):
        return "stopped"
    if processes.is_paused(process):
        return "paused"
    return "ready" if answers() else "starting"

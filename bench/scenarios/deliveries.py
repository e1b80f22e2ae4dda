"""One connection's deliveries to an HTTP target, one POST an event, keys in order, beside bare loops and peers.

All are measured at the target, and a contestant that breaks the order of a key fails the bench.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count
from pathlib import Path

from bench.contestants.task import TOPIC
from bench.measuring import OURS, Comparison, Contestant, Run, compare, interleaved
from bench.peers.benthos import Benthos
from bench.peers.kafka_connect import KafkaConnect
from bench.peers.peer import Job, Peer, PeerMissing
from bench.progress import say
from bench.referee import Referee, appointed
from bench.scenarios.refunds import refunds
from bench.sizes import Deliveries, Sizes
from bench.stand import Served, Stand, free_port

_numbers = count(1)
PEERS: Sequence[Peer] = (
    KafkaConnect(),
    Benthos("Benthos, by partition", "by_partition.yaml"),
    Benthos("Benthos, by key", "by_key.yaml"),
)


async def run(stand: Stand, sizes: Sizes) -> AsyncIterator[Sequence[Comparison]]:
    """The engine against a bare loop with the same ledger rows, one without any, and the peers that can be had."""
    peers, missing = _prepared() if sizes.peers else ([], {})
    async with appointed(stand) as referee:
        for case in sizes.deliveries:
            await stand.fresh([TOPIC, "dlq.bench"], case.partitions)
            await stand.fill(refunds(case.events))
            title = f"{case.answer_ms} ms, {case.partitions} partitions"
            say(title)
            contestants = {
                OURS: _ours(stand, referee, case, "engine"),
                "bare loop": _ours(stand, referee, case, "deliveries.bare"),
                "bare, no ledger": _ours(stand, referee, case, "deliveries.bare", ledger=False),
                **{peer.name: _peer(stand, referee, case, peer) for peer in peers},
            }
            rounds = await interleaved(contestants, sizes.rounds)
            notes = {"events": case.events, "partitions": case.partitions, "not_available": missing}
            yield compare("deliveries", title, rounds, notes)


def _prepared() -> tuple[list[Peer], Mapping[str, str]]:
    """The peers that can be had here, and why each of the others cannot."""
    ready, missing = [], {}
    for peer in PEERS:
        try:
            peer.prepare(say)
        except PeerMissing as error:
            missing[peer.name] = str(error)
            say(f"{peer.name} is not available: {error}")
        else:
            ready.append(peer)
    return ready, missing


def _ours(stand: Stand, referee: Referee, case: Deliveries, contestant: str, *, ledger: bool = True) -> Contestant:
    async def once() -> Run:
        name = f"{contestant.replace('.', '-')}-{next(_numbers)}"
        url = referee.url(name, answer_ms=case.answer_ms)
        return await _measured(stand, referee, case, name, stand.endless(contestant, name, ledger=ledger, urls=[url]))

    return once


def _peer(stand: Stand, referee: Referee, case: Deliveries, peer: Peer) -> Contestant:
    async def once() -> Run:
        name = f"{''.join(c if c.isalnum() else '-' for c in peer.name.lower())}-{next(_numbers)}"
        folder = stand.folder / name
        folder.mkdir(exist_ok=True)
        launch = peer.launch(_job(stand, referee, case, name, folder))
        return await _measured(stand, referee, case, name, stand.launch(name, launch.command, env=launch.env))

    return once


def _job(stand: Stand, referee: Referee, case: Deliveries, name: str, folder: Path) -> Job:
    url = referee.url(name, answer_ms=case.answer_ms)
    return Job(stand.kafka, TOPIC, case.partitions, name, url, folder, free_port())


async def _measured(stand: Stand, referee: Referee, case: Deliveries, name: str, served: Served) -> Run:
    try:
        return await referee.measure([served], name, case.events)
    finally:
        await stand.stop(served)

"""The rows of one connection: claimed, taken over, taken up again and settled, each change fenced."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from libs.connectors.contract.target import Ref
from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.engine.ledger.rows import Claim, Entry, Fenced, Row, Settlement
from libs.runtime.engine.ledger.statements import (
    HEADS,
    INSERT,
    INSERT_PLAIN,
    ROW,
    SETTLE,
    SETTLE_PLAIN,
    TAKE_OVER,
    plain_columns,
    plain_outcome,
    row_of,
    special_columns,
    special_outcome,
)
from libs.runtime.kafka.records import Partition

_nothing = nullcontext  # what one statement needs for a transaction


class Ledger:
    """The rows of one connection. `lease`: seconds for which a claim is respected after its owner went silent."""

    def __init__(self, pool: Pool, connection: str, *, lease: float) -> None:
        self._pool, self._connection, self._lease = pool, connection, lease

    # Ownership --------------------------------------------------------------------------------------------------

    async def own(self, partition: Partition, owner: str) -> int:
        """Become the owner of a partition: its next epoch. From now on every older owner is fenced."""
        epoch = await self._pool.fetchval(
            "insert into partition_owner (connection, topic, partition, epoch, owner) values ($1, $2, $3, 1, $4) "
            "on conflict (connection, topic, partition) do update set epoch = partition_owner.epoch + 1, "
            "owner = $4, since = now() returning epoch",
            self._connection, partition.topic, partition.number, owner,
        )  # fmt: skip
        return int(epoch)

    async def release(
        self, partition: Partition, epoch: int, untouched: Sequence[str] = (), on_the_wire: Sequence[str] = ()
    ) -> None:
        """Give back the claims of an epoch whose work has been stopped: nobody need wait for their leases to end.

        They stay claims with an open outcome, which whoever takes them over resolves; but for the `untouched` events
        it is certain that nothing was sent. Those `on_the_wire` keep their leases, which outlast the call.
        """
        await self._pool.execute(
            "update delivery set lease_until = now(), "
            "sent_at = case when event_id = any($5) then null else sent_at end "
            "where connection = $1 and state in ('claimed', 'parked') "
            "and topic = $2 and partition = $3 and epoch = $4 and lease_until > now() and event_id <> all($6)",
            self._connection, partition.topic, partition.number, epoch, list(untouched), list(on_the_wire),
        )  # fmt: skip

    async def locked_keys(self, partition: Partition) -> set[str]:
        """Order keys that wait behind something parked or dead."""
        rows = await self._pool.fetch(
            "select distinct order_key from delivery where connection = $1 and topic = $2 and partition = $3 "
            "and state in ('parked', 'dead') and class not in ('day_open', 'left_out')",
            self._connection, partition.topic, partition.number,
        )  # fmt: skip
        return {row["order_key"] for row in rows}

    async def still_locked(self, partition: Partition, order_key: str) -> bool:
        """Whether anything of this key is still set aside."""
        found = await self._pool.fetchval(
            "select exists (select 1 from delivery where connection = $1 and topic = $2 and partition = $3 "
            "and order_key = $4 and state in ('parked', 'dead') and class not in ('day_open', 'left_out'))",
            self._connection, partition.topic, partition.number, order_key,
        )  # fmt: skip
        return bool(found)

    async def head(self, partition: Partition, order_key: str, epoch: int) -> Row | None:
        """The first of a key that is set aside, if its time has come."""
        row = await self._pool.fetchrow(
            f"select {ROW}, next_attempt_at <= now() as due from delivery where connection = $1 and topic = $2 "
            "and partition = $3 and order_key = $4 and state in ('parked', 'dead') "
            "and class not in ('day_open', 'left_out') order by seq limit 1",
            self._connection, partition.topic, partition.number, order_key,
        )  # fmt: skip
        return row_of(row) if row is not None and row["state"] == "parked" and row["due"] else None

    async def due(self, partition: Partition, epoch: int, limit: int) -> list[Row]:
        """Heads of locked keys whose time has come."""
        rows = await self._pool.fetch(HEADS, self._connection, partition.topic, partition.number, epoch, limit)
        return [row_of(row) for row in rows]

    # Events -----------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> list[Claim | Fenced]:
        """Write entries that are new; take over claims whose owner is gone; report what else was there."""
        first: dict[str, Entry] = {}
        for entry in entries:
            first.setdefault(entry.event_id, entry)
        unique = list(first.values())
        taken: dict[str, Row] = {}
        there: dict[str, Row] = {}
        async with self._pool.acquire() as database:
            # One statement, and so a transaction by itself: new events are the rule, known ones the exception.
            written = await self._insert(database, unique)
            if len(written) < len(unique):
                known = [entry for entry in unique if entry.event_id not in written]
                async with database.transaction():
                    taken = await self._take_over(database, known)
                    rest = [entry.event_id for entry in known if entry.event_id not in taken]
                    there = await self._read(database, rest)
        answers: list[Claim | Fenced] = []
        for entry in entries:
            if first[entry.event_id] is entry and entry.event_id in written:
                answers.append(Claim(True, written[entry.event_id]))
            elif entry.event_id in written:
                answers.append(Claim(False, written[entry.event_id]))  # a repeat inside this very batch
            elif entry.event_id in taken:
                answers.append(Claim(False, "claimed", taken[entry.event_id]))
            elif (row := there.get(entry.event_id)) is not None:
                answers.append(Claim(False, row.state, row, row.lease_until if row.state == "claimed" else None))
            else:
                answers.append(Fenced(f"epoch {entry.epoch} of {entry.partition} is over"))
        return answers

    async def _insert(self, database: Database, entries: Sequence[Entry]) -> dict[str, str]:
        written: dict[str, str] = {}
        for plain in (True, False):
            some = [entry for entry in entries if entry.plain is plain]
            if some:
                columns = plain_columns(some) if plain else [*plain_columns(some), *special_columns(some)]
                statement = INSERT_PLAIN if plain else INSERT
                rows = await database.fetch(statement, self._connection, self._lease, *columns)
                written.update((row["event_id"], row["state"]) for row in rows)
        return written

    async def _take_over(self, database: Database, entries: Sequence[Entry]) -> dict[str, Row]:
        if not entries:
            return {}
        ids, epochs = [e.event_id for e in entries], [e.epoch for e in entries]
        rows = await database.fetch(TAKE_OVER, self._connection, ids, epochs, self._lease)
        return {row["event_id"]: row_of(row) for row in rows}

    async def _read(self, database: Database, ids: Sequence[str]) -> dict[str, Row]:
        if not ids:
            return {}
        rows = await database.fetch(
            f"select {ROW} from delivery where connection = $1 and event_id = any($2)", self._connection, list(ids)
        )
        return {row["event_id"]: row_of(row) for row in rows}

    async def take_up(self, row: Row, epoch: int) -> Row | None:
        """Lease a parked row for another try: the row as it is now; None when it moved on meanwhile. Raises Fenced."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, row.partition, epoch)
            taken = await database.fetchrow(
                "update delivery set epoch = $3, lease_until = now() + make_interval(secs => $4) "
                "where connection = $1 and event_id = $2 and state = 'parked' "
                f"and (lease_until is null or lease_until < now() or epoch = $3) returning {ROW}",
                self._connection, row.event_id, epoch, self._lease,
            )  # fmt: skip
        return None if taken is None else row_of(taken)

    async def mark_sending(self, row: Row, epoch: int, plan_hash: str) -> None:
        """Before a parked row's first write is sent again: from here on its outcome may be unknown. Raises Fenced."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, row.partition, epoch)
            await database.execute(
                "update delivery set sent_at = coalesce(sent_at, now()), plan_hash = $3, "
                "lease_until = now() + make_interval(secs => $4) where connection = $1 and event_id = $2",
                self._connection, row.event_id, plan_hash, self._lease,
            )  # fmt: skip

    async def save_step(
        self, event_id: str, partition: Partition, epoch: int, steps: dict[str, Any], provides: dict[Ref, str]
    ) -> None:
        """A step is done and others follow: a crash resumes after it. Renews the lease. Raises Fenced."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, partition, epoch)
            await database.execute(
                "update delivery set steps = $3, lease_until = now() + make_interval(secs => $4) "
                "where connection = $1 and event_id = $2",
                self._connection, event_id, steps, self._lease,
            )  # fmt: skip
            await self._keep_remote(database, provides)

    async def renew(self, event_id: str, partition: Partition, epoch: int) -> None:
        """Hold a claim for another lease. Raises Fenced when it is ours no more."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, partition, epoch)
            ours = await database.fetchval(
                "update delivery set lease_until = now() + make_interval(secs => $4) where connection = $1 "
                "and event_id = $2 and epoch = $3 and state in ('claimed', 'parked') returning true",
                self._connection, event_id, epoch, self._lease,
            )  # fmt: skip
        if not ours:
            raise Fenced(f"{event_id} is in other hands")

    async def _check_owner(self, database: Database, partition: Partition, epoch: int) -> None:
        current = await database.fetchval(
            "select epoch from partition_owner where connection = $1 and topic = $2 and partition = $3 for share",
            self._connection, partition.topic, partition.number,
        )  # fmt: skip
        if current != epoch:
            raise Fenced(f"epoch {epoch} of {partition} is over")

    async def settle(self, settlements: Sequence[Settlement]) -> list[Fenced | None]:
        """Write what became of events; with a document, of its members too, in the same transaction."""
        alone = all(s.plain and not s.provides for s in settlements)
        async with self._pool.acquire() as database, _nothing() if alone else database.transaction():
            rows = []
            for plain in (True, False):
                some = [settlement for settlement in settlements if settlement.plain is plain]
                if some:
                    columns = plain_outcome(some) if plain else [*plain_outcome(some), *special_outcome(some)]
                    rows += await database.fetch(SETTLE_PLAIN if plain else SETTLE, self._connection, *columns)
            written = {row["event_id"] for row in rows}
            provides: dict[Ref, str] = {}
            for settlement in settlements:
                if settlement.event_id not in written:
                    continue
                provides |= settlement.provides
                if settlement.state == "delivered" and settlement.document:
                    await self._settle_members(database, settlement)
            await self._keep_remote(database, provides)
        return [None if s.event_id in written else Fenced(f"{s.partition} moved on") for s in settlements]

    async def _settle_members(self, database: Database, settlement: Settlement) -> None:
        await database.execute(
            "update delivery set state = 'delivered', class = null, reason = null, settled_at = now(), "
            "remote_id = $3, document = $4, key = null, value = null, headers = null "
            "where connection = $1 and event_id = any($2) and state = 'parked' and class in ('day_open', 'left_out')",
            self._connection, list(settlement.settles), settlement.remote_id, settlement.document,
        )  # fmt: skip
        if settlement.left_out:
            await database.execute(
                "update delivery d set class = 'left_out', reason = i.reason "
                "from unnest($2::text[], $3::text[]) as i(event_id, reason) "
                "where d.connection = $1 and d.event_id = i.event_id and d.state = 'parked'",
                self._connection, list(settlement.left_out), list(settlement.left_out.values()),
            )  # fmt: skip

    async def _keep_remote(self, database: Database, provides: dict[Ref, str]) -> None:
        if provides:
            provides = dict(sorted(provides.items()))  # in one order everywhere, or two batches wait for each other
            await database.execute(
                "insert into remote_object (connection, ref_kind, ref_key, remote_id) "
                "select $1, * from unnest($2::text[], $3::text[], $4::text[]) "
                "on conflict (connection, ref_kind, ref_key) do update set remote_id = excluded.remote_id, at = now()",
                self._connection, [r.kind for r in provides], [r.key for r in provides], list(provides.values()),
            )  # fmt: skip

    # Questions --------------------------------------------------------------------------------------------------

    async def supersede_older(self, partition: Partition, epoch: int, order_key: str, version: int) -> bool:
        """A newer state came: what waits of older ones is superseded. True when nothing holds the key any more."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, partition, epoch)
            await database.execute(
                "update delivery set state = 'superseded', class = null, reason = 'a newer version came', "
                "settled_at = now(), key = null, value = null, headers = null "
                "where connection = $1 and topic = $2 and partition = $3 and order_key = $4 "
                "and state in ('parked', 'dead') and version < $5",
                self._connection, partition.topic, partition.number, order_key, version,
            )  # fmt: skip
        return not await self.still_locked(partition, order_key)

    async def delivered_before(self, order_key: str, kinds: Sequence[str]) -> bool:
        """Whether an event of one of these kinds was delivered for the key."""
        found = await self._pool.fetchval(
            "select exists (select 1 from delivery where connection = $1 and order_key = $2 and kind = any($3) "
            "and state in ('delivered', 'shadowed'))",
            self._connection, order_key, list(kinds),
        )  # fmt: skip
        return bool(found)

    async def newer_delivered(self, order_key: str, version: int) -> bool:
        """Whether a newer state of the key was delivered."""
        found = await self._pool.fetchval(
            "select exists (select 1 from delivery where connection = $1 and order_key = $2 and version > $3 "
            "and state in ('delivered', 'shadowed'))",
            self._connection, order_key, version,
        )  # fmt: skip
        return bool(found)

    async def unseen(self, event_ids: Sequence[str]) -> int:
        """How many of these events have no row yet."""
        seen = await self._pool.fetchval(
            "select count(*) from delivery where connection = $1 and event_id = any($2)",
            self._connection, list(event_ids),
        )  # fmt: skip
        return len(set(event_ids)) - int(seen)

    async def remote_ids(self, refs: Sequence[Ref]) -> dict[Ref, str]:
        """Remote ids that are known."""
        rows = await self._pool.fetch(
            "select r.ref_kind, r.ref_key, r.remote_id from remote_object r "
            "join unnest($2::text[], $3::text[]) as i(kind, key) on i.kind = r.ref_kind and i.key = r.ref_key "
            "where r.connection = $1",
            self._connection, [ref.kind for ref in refs], [ref.key for ref in refs],
        )  # fmt: skip
        return {Ref(row["ref_kind"], row["ref_key"]): row["remote_id"] for row in rows}

    async def count_repeat(self, repeats: Sequence[Partition]) -> None:
        """Count records of events that were seen before; they are no term of the identity."""
        counts: dict[Partition, int] = {}
        for partition in repeats:
            counts[partition] = counts.get(partition, 0) + 1
        await self._pool.executemany(
            "insert into delivery_tally (connection, topic, partition, outcome, n) values ($1, $2, $3, 'repeat', $4) "
            "on conflict (connection, topic, partition, outcome) do update set n = delivery_tally.n + excluded.n",
            [(self._connection, p.topic, p.number, n) for p, n in counts.items()],
        )

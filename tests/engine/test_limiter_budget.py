"""The arithmetic of shared limits, with a clock of its own: whatever holders do, and whoever of them dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from libs.runtime.limits.budget import SECOND, Ask, Budget, settle

LEASE, LONGEST_CALL = 3 * SECOND, 2 * SECOND


@dataclass
class Replica:
    """A holder as the limiter of a process is one.

    `leased`: from when on each leased call may begin; `calls` are those under way: when each began.
    """

    name: str
    leased: list[int] = field(default_factory=list)
    seats: int = 0
    leased_until: int = 0
    calls: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


def ask(replica: Replica, now: int, windows: Any, concurrency: int, **more: Any) -> Ask:
    """What the replica reports."""
    return Ask(
        replica.name, windows, concurrency, LEASE, LONGEST_CALL,
        held=len(replica.calls) + len(replica.leased), seated=max(len(replica.calls), replica.seats),
        ended=[now - moment for moment in replica.ended], **more,
    )  # fmt: skip


class SharedLimits(RuleBasedStateMachine):
    """Replicas lease, call, report, give back and die as they like; the vendor counts each call when it pleases
    between the call's beginning and its end."""

    @initialize(
        windows=st.lists(
            st.tuples(st.integers(1, 12), st.sampled_from([SECOND // 3, SECOND, 10 * SECOND])), min_size=1, max_size=3
        ),
        concurrency=st.integers(1, 5),
    )
    def begin(self, windows: list[tuple[int, int]], concurrency: int) -> None:
        """An account nobody has called yet."""
        self.now = 1_700_000_000 * SECOND
        self.windows, self.concurrency = tuple(windows), concurrency
        self.stored = msgspec.json.encode(Budget())
        self.born = 0
        self.replicas = [self._another() for _ in range(4)]
        self.counted: list[int] = []  # when the vendor took a call in

    def _another(self) -> Replica:
        self.born += 1
        return Replica(f"replica-{self.born}")

    @rule(
        number=st.integers(0, 3),
        want=st.integers(0, 6),
        need=st.integers(0, 5),
        keep=st.booleans(),
        lookahead=st.sampled_from([0, SECOND // 4, SECOND, 20 * SECOND]),
    )
    def settle(self, number: int, want: int, need: int, keep: bool, lookahead: int) -> None:
        """A replica reports and leases, for now and for later; without `keep` it gives back what it has in hand."""
        replica = self.replicas[number]
        if not keep or self.now >= replica.leased_until:
            replica.leased.clear()
        # Seats are kept while their lease lasts, or until those under way have ended.
        replica.seats = max(len(replica.calls), min(replica.seats, need) if self.now < replica.leased_until else 0)
        budget = msgspec.json.decode(self.stored, type=Budget)
        told = {"want": want, "need": need, "lookahead": lookahead}
        answer = settle(budget, ask(replica, self.now, self.windows, self.concurrency, **told), self.now)
        self.stored = msgspec.json.encode(budget)
        assert answer.granted == sum(calls for _, calls in answer.opening) <= want
        assert all(0 <= span <= lookahead for span, _ in answer.opening)
        replica.ended.clear()
        for span, calls in answer.opening:
            replica.leased += [self.now + span] * calls
        replica.leased.sort()
        replica.seats, replica.leased_until = answer.seats, self.now + LEASE

    @rule(number=st.integers(0, 3), many=st.integers(1, 6))
    def call(self, number: int, many: int) -> None:
        """Calls begin, out of what is leased."""
        replica = self.replicas[number]
        while many and self.now < replica.leased_until and len(replica.calls) < replica.seats:
            if not replica.leased or replica.leased[0] > self.now:
                return
            replica.leased.pop(0)
            replica.calls.append(self.now)
            many -= 1

    @rule(number=st.integers(0, 3), many=st.integers(1, 6), early=st.booleans())
    def end(self, number: int, many: int, early: bool) -> None:
        """Calls end; the vendor had taken them in when they began, or just now."""
        replica = self.replicas[number]
        for began in replica.calls[:many]:
            self.counted.append(began if early else self.now)
            replica.ended.append(self.now)
        del replica.calls[:many]

    @rule(number=st.integers(0, 3), late=st.booleans())
    def die(self, number: int, late: bool) -> None:
        """A replica is gone without a word; its calls arrive at once, or as late as they can."""
        replica = self.replicas[number]
        self.counted += [began + LONGEST_CALL if late else self.now for began in replica.calls]
        self.replicas[number] = self._another()

    @rule(span=st.integers(1, 40) | st.sampled_from([333, 1000, 3000, 10_000]))
    def wait(self, span: int) -> None:
        """Milliseconds pass; no call outlives its longest time."""
        self.now += span * 1000
        for replica in self.replicas:
            for began in [moment for moment in replica.calls if moment + LONGEST_CALL <= self.now]:
                replica.calls.remove(began)
                self.counted.append(began + LONGEST_CALL)
                replica.ended.append(began + LONGEST_CALL)

    @invariant()
    def never_more_than_allowed(self) -> None:
        """In no window of the vendor's, wherever it is laid, and never more at a time."""
        if not hasattr(self, "counted"):
            return
        moments = sorted(self.counted)
        for allowed, length in self.windows:
            for first, one_too_many in zip(moments, moments[allowed:], strict=False):
                assert one_too_many - first >= length
        assert sum(len(replica.calls) for replica in self.replicas) <= self.concurrency


TestSharedLimits = SharedLimits.TestCase
TestSharedLimits.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)

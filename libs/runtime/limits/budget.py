"""What an account of a vendor may still be asked, as arithmetic on a state that all who call it share.

Whoever wants to call leases calls from here, spends them in its own memory, and reports when they ended. A call counts
in every window until the window's length after its end: when before that it reached the vendor, who counts too, is not
known here. What is leased counts as if it were under way. A holder that is heard of no more counts as having made all
its calls at the last moment at which it can have made them.

All times are microseconds of one clock, the database's; spans are microseconds too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct, field

SECOND = 1_000_000
# Ends of calls are kept to a 128th of the window, rounded up: a sliver later than they were, never earlier.
_SLICES = 128
# A window that nobody asked about for so long is forgotten.
_FORGOTTEN = 7 * 86_400 * SECOND
# Whoever made room for more urgent calls this often in a row takes its turn.
_PATIENCE = 7
# Seats for which there are too many holders go round so often.
_ROUND = SECOND


class Counted(Struct):
    """The calls that ended, of one window: how many in each slice of time."""

    asked: int = 0
    ended: dict[int, int] = field(default_factory=dict)

    def add(self, length: int, moment: int, calls: int) -> None:
        """Count calls that ended at a moment, or before."""
        end_of_slice = -(-moment // _step(length))
        self.ended[end_of_slice] = self.ended.get(end_of_slice, 0) + calls

    def forget(self, length: int, now: int) -> None:
        """Drop what has left the window."""
        step = _step(length)
        self.ended = {slice_: calls for slice_, calls in self.ended.items() if slice_ * step + length > now}

    def leaving(self, length: int) -> list[tuple[int, int]]:
        """When how many leave the window, the first first."""
        step = _step(length)
        return [(slice_ * step + length, calls) for slice_, calls in sorted(self.ended.items())]


class Holder(Struct):
    """One process that calls: what it has leased and what it waits for.

    `held` calls are in its hands or under way; `seats` may be under way at a time. After `until` none of them can be
    under way any more, even if the process is gone.
    """

    held: int = 0
    seats: int = 0
    want: int = 0
    need: int = 0
    urgency: int = 0
    passed_over: int = 0
    heard: int = 0
    until: int = 0


class Budget(Struct):
    """The state of one account: windows by their length, holders by name, and a pause that the vendor asked for."""

    windows: dict[int, Counted] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    not_before: int = 0


@dataclass(frozen=True)
class Ask:
    """What a holder reports and wants.

    `windows` are (calls, length). `held` calls are in hand or under way, `seated` of them can be under way at a time
    until the answer is there. `want` more calls and `need` seats in all are asked for. `ended` are the ages of calls
    that ended since the last report. `pause`: the vendor wants to be left alone for that long. A lease lasts `lease`,
    and a call that began within it at most `longest_call`. Calls for which there will be room within `lookahead` are
    leased now, for then.
    """

    holder: str
    windows: Sequence[tuple[int, int]]
    concurrency: int
    lease: int
    longest_call: int
    held: int = 0
    seated: int = 0
    want: int = 0
    need: int = 0
    urgency: int = 0
    ended: Sequence[int] = ()
    pause: int = 0
    lookahead: int = 0


@dataclass(frozen=True)
class Answer:
    """`granted` further calls, of which each of `opening` says in how long how many may begin; `seats` in all.

    `pause` and `again`: in how long calls are allowed, and in how long asking for more is of use (None: that depends
    on others). All spans are from the moment of the settlement, which is `age` old.
    """

    granted: int
    opening: tuple[tuple[int, int], ...]
    seats: int
    pause: int
    again: int | None
    age: int = 0


def settle(budget: Budget, ask: Ask, now: int) -> Answer:
    """Take in what a holder reports, and lease to it what can be leased. Changes the budget."""
    for _, length in ask.windows:
        budget.windows.setdefault(length, Counted()).asked = now
    _tidy(budget, now)
    for length, counted in budget.windows.items():
        for age in ask.ended:
            counted.add(length, now - age, 1)
        counted.forget(length, now)
    if ask.pause:
        budget.not_before = max(budget.not_before, now + ask.pause)
    me = budget.holders.setdefault(ask.holder, Holder())
    me.held, me.want, me.need, me.urgency = ask.held, ask.want, ask.need, ask.urgency
    me.heard, me.until = now, now + ask.lease + ask.longest_call
    rivals = [h for h in budget.holders.values() if h is not me and h.heard > now - ask.lease]
    seats = _seats(budget, ask, now)
    me.seats = max(ask.seated, seats)
    pause = max(0, budget.not_before - now)
    rooms = _rooms(budget, ask, now)
    soon = [(moment, free) for moment, free in rooms if moment <= now + ask.lookahead]
    free = soon[-1][1] if soon else 0
    granted = 0 if pause or not seats else _grant(me, rivals, free)
    opening = _opening(soon, granted, now)
    me.held += granted
    me.want -= granted
    if me.held == me.seats == me.want == me.need == 0:
        del budget.holders[ask.holder]
    later = rooms[len(soon)][0] - now if len(rooms) > len(soon) else None
    # Half of what is looked ahead is left when it is asked again: nobody waits for the question.
    again = None if free > granted or later is None else max(ask.lookahead // 2, later - ask.lookahead // 2)
    return Answer(granted, opening, seats, pause, again if me.want else 0)


def _step(length: int) -> int:
    return max(1, length // _SLICES)


def _tidy(budget: Budget, now: int) -> None:
    """Those who are gone have made all their calls as late as they can have; what nobody asks about is dropped."""
    for name, holder in list(budget.holders.items()):
        if holder.until <= now:
            for length, counted in budget.windows.items():
                if holder.held:
                    counted.add(length, holder.until, holder.held)
            del budget.holders[name]
    budget.windows = {n: counted for n, counted in budget.windows.items() if counted.asked > now - max(_FORGOTTEN, n)}


def _held(budget: Budget) -> int:
    return sum(holder.held for holder in budget.holders.values())


def _rooms(budget: Budget, ask: Ask, now: int) -> list[tuple[int, int]]:
    """From what moments on how many calls fit into all windows, whatever is under way: more each time."""
    held = _held(budget)
    windows = [(calls, budget.windows[length].leaving(length)) for calls, length in ask.windows]
    counted = [sum(calls for _, calls in leaving) for _, leaving in windows]
    gone = [0] * len(windows)
    rooms: list[tuple[int, int]] = []
    most = 0
    for moment in sorted({now, *(moment for _, leaving in windows for moment, _ in leaving)}):
        for number, (_, leaving) in enumerate(windows):
            while gone[number] < len(leaving) and leaving[gone[number]][0] <= moment:
                counted[number] -= leaving[gone[number]][1]
                gone[number] += 1
        left = min((allowed - there for (allowed, _), there in zip(windows, counted, strict=True)), default=held)
        if left - held > most:
            most = left - held
            rooms.append((moment, most))
    return rooms


def _opening(rooms: Iterable[tuple[int, int]], granted: int, now: int) -> tuple[tuple[int, int], ...]:
    """In how long how many of those granted may begin, the earliest rooms first."""
    opening, given = [], 0
    for moment, free in rooms:
        calls = min(free, granted) - given
        if calls > 0:
            opening.append((moment - now, calls))
            given += calls
    return tuple(opening)


def _grant(me: Holder, rivals: Iterable[Holder], free: int) -> int:
    """My part of what is free: the more urgent go first, equals share."""
    waiting = [rival for rival in rivals if rival.want]
    urgent = sum(rival.want for rival in waiting if rival.urgency < me.urgency)
    if urgent and me.passed_over >= _PATIENCE:
        urgent = 0
    room = max(0, free - urgent)
    equals = 1 + sum(rival.urgency == me.urgency for rival in waiting)
    granted = min(me.want, -(-room // equals))
    if granted:
        me.passed_over = 0
    elif me.want and free:
        me.passed_over += 1
    return granted


def _seats(budget: Budget, ask: Ask, now: int) -> int:
    """How many calls it may have under way at a time: never more than are left by all others, and its fair share when
    somebody is short."""
    others = {name: holder for name, holder in budget.holders.items() if name != ask.holder}
    recent = {name: holder for name, holder in others.items() if holder.heard > now - ask.lease and holder.need}
    left = max(0, ask.concurrency - sum(holder.seats for holder in others.values()))
    wanted = min(ask.need, left)
    if all(holder.seats >= holder.need for holder in recent.values()):
        return wanted
    names = sorted([ask.holder, *recent])
    each, over = divmod(ask.concurrency, len(names))
    # What cannot be divided goes round, so that with more holders than seats everybody has one in turn.
    place = (names.index(ask.holder) - now // _ROUND) % len(names)
    return min(wanted, each + (place < over))

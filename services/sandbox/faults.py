"""Faults to order: what goes wrong at a vendor, how often, on which calls."""

from __future__ import annotations

import random
import re
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from libs.connectors.contract import simulator

Kind = Literal[
    "none",
    # The vendor's own wording of a failure; the call has no effect.
    "unavailable",
    "error",
    "throttled",
    "throttled_retry_after",
    "unauthorized",
    "garbage",
    # The network's: no answer at all.
    "down",
    "reset",
    "reset_after_commit",
    "timeout_before",
    "timeout_after_commit",
    # The call has its effect, the answer is late.
    "slow",
]

# "down" is a connection closed without an answer; the vendor's own "503" goes by another name here.
WORDED: dict[Kind, simulator.Fault] = {
    "unavailable": "down",
    "error": "error",
    "throttled": "throttled",
    "throttled_retry_after": "throttled_retry_after",
    "unauthorized": "unauthorized",
    "garbage": "garbage",
}
NEVER_ARRIVES: frozenset[Kind] = frozenset(("down", "reset", "timeout_before"))
RESETTING: frozenset[Kind] = frozenset(("reset", "reset_after_commit"))
WAITING: frozenset[Kind] = frozenset(("slow", "timeout_before", "timeout_after_commit"))
_SLOW_SECONDS, _HANGING_SECONDS = 2.0, 60.0


class Fault(BaseModel):
    """A fault as ordered.

    `match` is a regular expression searched in the path without the vendor's prefix; `count`: after that many times it
    is over; `seconds`: how long an answer is late or a call hangs; `seed` makes `probability` repeatable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    match: str | None = None
    method: str | None = None
    count: Annotated[int, Field(gt=0)] | None = None
    seed: int | None = None

    @field_validator("match")
    @classmethod
    def _is_an_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value

    @property
    def delay(self) -> float:
        """Seconds to wait: as ordered, else what suits the kind."""
        if self.seconds is not None:
            return self.seconds
        return _SLOW_SECONDS if self.kind == "slow" else _HANGING_SECONDS


NO_FAULT = Fault(kind="none")
KINDS: tuple[Kind, ...] = get_args(Kind)


class Switch:
    """The fault of one vendor: ordered, acting, used up."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.order(NO_FAULT)

    def order(self, fault: Fault) -> None:
        """From now on this fault, and no other."""
        self.fault = fault
        self.acted = 0
        seed = self.seed if fault.seed is None else fault.seed
        self._random = random.Random(seed)  # noqa: S311 (chance in a simulator)

    def strike(self, method: str, path: str) -> Fault:
        """The fault that befalls this call; it is counted. NO_FAULT when none does."""
        fault = self.fault
        if fault.kind == "none" or (fault.count is not None and self.acted >= fault.count):
            return NO_FAULT
        if fault.method and fault.method.upper() != method.upper():
            return NO_FAULT
        if fault.match and not re.search(fault.match, path):
            return NO_FAULT
        if self._random.random() >= fault.probability:
            return NO_FAULT
        self.acted += 1
        return fault

    def shown(self) -> dict[str, object]:
        """The order as given, how often it acted and how often it still will."""
        left = None if self.fault.count is None else self.fault.count - self.acted
        return {**self.fault.model_dump(exclude_none=True), "acted": self.acted, "left": left}

"""A write is begun only while the claim's lease outlasts it: after that another process may have the event."""

from __future__ import annotations

import time

from libs.runtime.engine.ledger import Ledger
from libs.runtime.engine.work import Work


class Leases:
    """Renews claims that waited long. `lease` and `longest_call` in seconds."""

    def __init__(self, ledger: Ledger, *, lease: float, longest_call: float) -> None:
        self._ledger = ledger
        self._good_for = max(lease / 3, lease - longest_call - 1)

    async def cover(self, work: Work) -> None:
        """See to it that a call begun now is covered. Raises Fenced when the event is somebody else's by now."""
        now = time.monotonic()
        if now - work.leased_at >= self._good_for:
            await self._ledger.renew(work.event.id, work.item.partition, work.item.epoch)
            work.leased_at = now

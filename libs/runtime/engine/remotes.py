"""Remote ids of objects at a target: a memory of the newest, backed by the ledger."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from libs.connectors.contract.target import Ref, Remote
from libs.runtime.engine.ledger import Ledger

_REMEMBERED = 50_000


def placeholders(value: Any) -> Iterable[Ref]:
    """All refs that a request's JSON names."""
    if isinstance(value, Remote):
        yield value.ref
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from placeholders(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from placeholders(item)


class Remotes:
    """What is known of one connection's objects."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._memory: OrderedDict[Ref, str] = OrderedDict()

    def learn(self, found: Mapping[Ref, str]) -> None:
        """Remember ids that an answer has told; the ledger keeps them with the step."""
        self._memory.update(found)
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)

    async def known(self, refs: Sequence[Ref]) -> dict[Ref, str]:
        """Those of the refs whose remote id is known."""
        here = {ref: self._memory[ref] for ref in refs if ref in self._memory}
        asked = [ref for ref in refs if ref not in here]
        if asked:
            stored = await self._ledger.remote_ids(asked)
            self.learn(stored)
            here |= stored
        return here

    async def known_in(self, body: Any) -> dict[Ref, str]:
        """Remote ids of all placeholders in a request's JSON, as far as known."""
        refs = list(placeholders(body))
        return await self.known(refs) if refs else {}

"""Webhooks on their way to Kafka, when the client itself fails."""

from __future__ import annotations

from typing import Any, cast

import pytest

from libs.runtime.kafka.publisher import Publisher
from libs.runtime.kafka.writer import KafkaAway
from libs.runtime.settings import KafkaSettings


class _Closed:
    """A producer whose connection was closed a moment before."""

    async def send(self, *_: Any, **__: Any) -> Any:
        """What uvloop says of it."""
        raise RuntimeError("the handler is closed")


async def test_a_closed_connection_is_kafka_away() -> None:
    """So the webhook goes to the spool, and its sender is not told of an internal error."""
    publisher = Publisher(KafkaSettings("127.0.0.1:9", 6000, 1, 1, {}))
    publisher._producer = cast("Any", _Closed())
    with pytest.raises(KafkaAway):
        await publisher.publish("inbox.square", b"key", b"value", {}, within=1)

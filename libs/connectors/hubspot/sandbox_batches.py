"""The simulator's batch calls: whole refusals, and mixed answers (207) that name failures by trace id only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from libs.connectors.contract.simulator import SimResponse
from libs.connectors.hubspot.sandbox_store import Record, Refused, Store

MAX_INPUTS = 100
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


@dataclass
class Batches:
    """Batch calls upon a store. `conflict_fails_call`: a taken e-mail address refuses the whole call, as batch create
    does. `trace_in_results`: results carry the trace id, as the newer API versions show them."""

    store: Store
    conflict_fails_call: bool = True
    trace_in_results: bool = True

    def upsert(self, kind: str, body: Mapping[str, Any], now: datetime) -> SimResponse:
        """Creates or updates each input by its unique property."""
        inputs = _inputs(body)
        properties = {str(item.get("idProperty")) for item in inputs}
        if len(properties) != 1 or "None" in properties:
            raise Refused(400, "VALIDATION_ERROR", "All inputs need one and the same idProperty")
        unique = properties.pop()
        self.store.demand_unique(kind, unique)

        def target(item: Mapping[str, Any]) -> tuple[Record | None, dict[str, Any]]:
            record = self.store.by_unique(kind, unique, str(item["id"]))
            return record, {unique: item["id"], **item.get("properties", {})}

        return self._write(kind, inputs, target, now)

    def update(self, kind: str, body: Mapping[str, Any], now: datetime) -> SimResponse:
        """Updates each input; one that is not there is an error of its own."""

        def target(item: Mapping[str, Any]) -> tuple[Record | None, dict[str, Any]]:
            unique = item.get("idProperty")
            name = str(item["id"])
            record = self.store.by_unique(kind, unique, name) if unique else self.store.living(kind, name)
            if record is None:
                raise Refused(404, "OBJECT_NOT_FOUND", f"Could not get some {kind} objects", context={"ids": [name]})
            return record, item.get("properties", {})

        return self._write(kind, _inputs(body), target, now)

    def create(self, kind: str, body: Mapping[str, Any], now: datetime) -> SimResponse:
        """Creates each input."""
        return self._write(kind, _inputs(body, named=False), lambda item: (None, item.get("properties", {})), now)

    def read(self, kind: str, body: Mapping[str, Any], now: datetime) -> SimResponse:
        """Those that are there; the others are named in errors."""
        unique = body.get("idProperty")
        wanted = set(body.get("properties", ())) | {unique} if body.get("properties") else None
        found, absent = [], []
        for item in _inputs(body):
            name = str(item["id"])
            record = self.store.by_unique(kind, unique, name) if unique else self.store.living(kind, name)
            if record:
                found.append(record.shown(wanted))
            else:
                absent.append(name)
        error = {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some objects, they may be deleted or not exist.",
            "context": {"ids": absent},
        }
        return _complete(found, [error] if absent else [])

    def archive(self, kind: str, body: Mapping[str, Any], now: datetime) -> SimResponse:
        """Archives each input; unknown ids are no error."""
        for item in _inputs(body):
            self.store.archive(kind, str(item["id"]))
        return SimResponse(204)

    def associate(self, source: str, target: str, body: Mapping[str, Any]) -> SimResponse:
        """The default association of each pair."""
        done, errors = [], []
        for item in _inputs(body, named=False):
            from_id, to_id = str(item["from"]["id"]), str(item["to"]["id"])
            try:
                self.store.associate(source, from_id, target, to_id)
                done.append({"from": {"id": from_id}, "to": {"id": to_id}, "associationSpec": {}})
            except Refused as refusal:
                context = {"fromObjectId": [from_id], "toObjectId": [to_id]}
                errors.append({**refusal.body, "context": context})
        return _complete(done, errors)

    def _write(
        self,
        kind: str,
        inputs: Sequence[Mapping[str, Any]],
        target: Callable[[Mapping[str, Any]], tuple[Record | None, dict[str, Any]]],
        now: datetime,
    ) -> SimResponse:
        for item in inputs:
            self._check(kind, item, target)
        results, errors = [], []
        for item in inputs:
            try:
                record, properties = target(item)
                new = record is None
                record = self.store.write(kind, record, properties, now)
                shown = record.shown({*properties}) | {"new": new}
                trace = item.get("objectWriteTraceId") if self.trace_in_results else None
                results.append(shown | ({"objectWriteTraceId": trace} if trace else {}))
            except Refused as refusal:
                errors.append(_with_trace(refusal.body, item))
        return _complete(results, errors)

    def _check(
        self,
        kind: str,
        item: Mapping[str, Any],
        target: Callable[[Mapping[str, Any]], tuple[Record | None, dict[str, Any]]],
    ) -> None:
        """Refuses the whole call where HubSpot does: for inputs without trace ids, and for taken addresses."""
        try:
            self.store.checked(kind, *target(item))
        except Refused as refusal:
            whole = refusal.status == 409 and self.conflict_fails_call
            if whole or "objectWriteTraceId" not in item:
                raise


def _inputs(body: Mapping[str, Any], *, named: bool = True) -> Sequence[Mapping[str, Any]]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(item, Mapping) for item in inputs):
        raise Refused(400, "VALIDATION_ERROR", "Invalid input JSON: inputs")
    if len(inputs) > MAX_INPUTS:
        raise Refused(400, "VALIDATION_ERROR", f"The maximum number of inputs supported in a batch is {MAX_INPUTS}")
    if named:
        if any("id" not in item for item in inputs):
            raise Refused(400, "VALIDATION_ERROR", "Some required fields were not set: [id]")
        twice = [name for name, count in Counter(str(item["id"]).lower() for item in inputs).items() if count > 1]
        if twice:
            raise Refused(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input")
    return inputs


def _with_trace(error: dict[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    trace = item.get("objectWriteTraceId")
    return {**error, "context": {**error.get("context", {}), "objectWriteTraceId": [trace]}} if trace else error


def _complete(results: list[Any], errors: list[Any]) -> SimResponse:
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": _MOMENT, "completedAt": _MOMENT}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return SimResponse(207 if errors else 200, body)


BATCH_CALLS: Mapping[str, Callable[[Batches, str, Mapping[str, Any], datetime], SimResponse]] = {
    "upsert": Batches.upsert,
    "update": Batches.update,
    "create": Batches.create,
    "read": Batches.read,
    "archive": Batches.archive,
}

"""HubSpot's batch calls: several steps in one request, and its mixed answer as one verdict each.

HubSpot leaves failed inputs out of `results`, so nothing is matched by position: each input carries a trace id that
comes back with its result or error (HubSpot, "Multi-status errors"). One id may occur only once in a call; the runtime
joins at most one step per target key, and every input of a step has its own id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.target import Batching, Done, Ref, Retry, Step, UnknownOutcome, Verdict
from libs.connectors.hubspot.verdicts import conflict_on_contact, verdict_of_error

Input = Mapping[str, Any]

MAX_INPUTS = 100
# Steps of up to this many inputs are joined, ten at a time; larger ones fill a call of their own.
JOINED_INPUTS = 10

UPSERTS = frozenset(("contacts/upsert", "orders/upsert", "line_items/upsert"))
TRACED = UPSERTS | {"contacts/update"}


@dataclass(frozen=True)
class Found:
    """What the answer says of one input: the object's id, or the error, or neither."""

    remote_id: str | None = None
    error: Mapping[str, Any] | None = None


def batch_call(path: str, inputs: Sequence[Input]) -> Request:
    """A batch request; inputs of upserts and updates get trace ids of their own position."""
    traced = path.endswith(("/upsert", "/update"))
    return Request(
        "POST",
        path,
        json={"inputs": [{**item, "objectWriteTraceId": str(n)} if traced else item for n, item in enumerate(inputs)]},
    )


def chunks(inputs: Sequence[Input]) -> Iterator[Sequence[Input]]:
    """The inputs in parts that one call can take."""
    for start in range(0, len(inputs), MAX_INPUTS):
        yield inputs[start : start + MAX_INPUTS]


def inputs_of(step: Step) -> list[dict[str, Any]]:
    """A step's inputs; none when it is no batch call."""
    body = step.request.json
    return list(body["inputs"]) if isinstance(body, Mapping) and "inputs" in body else []


def join(batch: str, steps: Sequence[Step], trace_ids: Sequence[str]) -> Request:
    """One call of all steps' inputs."""
    inputs = [
        {**item, "objectWriteTraceId": _trace(trace, n)} if batch in TRACED else item
        for step, trace in zip(steps, trace_ids, strict=True)
        for n, item in enumerate(inputs_of(step))
    ]
    return replace(steps[0].request, json={"inputs": inputs})


def split(batch: str, steps: Sequence[Step], trace_ids: Sequence[str], response: Response) -> Sequence[Verdict] | None:
    """One verdict per step, or None when the answer does not tell them apart.

    A lone step refused because its e-mail address is another contact's is done: that contact is the customer.
    """
    if not response.ok:
        known = conflict_on_contact(response.json) if len(steps) == 1 and batch == "contacts/upsert" else None
        return [known] if known else None
    if _unreadable(response):
        return [_UNREADABLE for _ in steps]
    body = response.json if isinstance(response.json, Mapping) else {}
    if batch not in TRACED:
        return None if body.get("errors") else [Done() for _ in steps]
    inputs = [
        {**item, "objectWriteTraceId": _trace(trace, n)}
        for step, trace in zip(steps, trace_ids, strict=True)
        for n, item in enumerate(inputs_of(step))
    ]
    answers = match(inputs, body)
    if answers is None:
        return None
    rest = iter(answers)
    return [step_verdict(step, [next(rest) for _ in inputs_of(step)]) for step in steps]


def match(inputs: Sequence[Input], body: Mapping[str, Any]) -> list[Found] | None:
    """What the answer says of each input, or None when it has errors that could be several inputs'."""
    results = [result for result in body.get("results") or () if isinstance(result, Mapping)]
    by_trace = {trace: result for result in results if (trace := result.get("objectWriteTraceId")) is not None}
    failed, stray = _errors(body)
    found = []
    for item in inputs:
        trace = item["objectWriteTraceId"]
        if trace in failed:
            found.append(Found(error=failed[trace]))
        else:
            result = by_trace.get(trace) or _same_object(item, results)
            found.append(Found(remote_id=str(result["id"]) if result and "id" in result else None))
    silent = [n for n, answer in enumerate(found) if answer == Found()]
    if stray and len(silent) != 1:
        return None
    if stray:
        found[silent[0]] = Found(error=stray[0])
    return found


def answer_verdict(step: Step, response: Response) -> Verdict:
    """The verdict on a 2xx answer to a step that was sent by itself."""
    if _unreadable(response):
        return _UNREADABLE
    body = response.json if isinstance(response.json, Mapping) else {}
    errors = [error for error in body.get("errors") or () if isinstance(error, Mapping)]
    inputs = inputs_of(step)
    if inputs and "objectWriteTraceId" in inputs[0]:
        answers = match(inputs, body)
        return step_verdict(step, answers) if answers else verdict_of_error(step, errors[0])
    if errors:
        return verdict_of_error(step, errors[0])
    return Done(remote_id=str(body["id"]) if "id" in body else None)


def step_verdict(step: Step, answers: Sequence[Found]) -> Verdict:
    """The verdict on a step of one or more inputs: its first error, else done with all ids."""
    for answer in answers:
        if answer.error is not None:
            return verdict_of_error(step, answer.error)
    keyed = [
        (item["id"], answer.remote_id)
        for item, answer in zip(inputs_of(step), answers, strict=True)
        if "idProperty" in item
    ]
    ids = {unique: remote_id for unique, remote_id in keyed if remote_id}
    if len(ids) < len(keyed):
        return Retry("HubSpot's answer says nothing of it")
    if step.provides:
        return Done(remote_id=next(iter(ids.values()), None))
    return Done(provides={Ref("line_item", unique): remote_id for unique, remote_id in ids.items()})


_UNREADABLE = UnknownOutcome("the answer is not HubSpot's")


def _unreadable(response: Response) -> bool:
    """A success without JSON is a proxy's page; only 204 has no body."""
    return response.status != 204 and not isinstance(response.json, Mapping)


def _trace(trace: str, n: int) -> str:
    return f"{trace}.{n}"


def _errors(body: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Errors by the trace id in their context, and those without one."""
    named: dict[str, Mapping[str, Any]] = {}
    stray = []
    for error in body.get("errors") or ():
        if not isinstance(error, Mapping):
            continue
        context = error.get("context")
        traces = context.get("objectWriteTraceId") if isinstance(context, Mapping) else None
        traces = [traces] if isinstance(traces, str) else traces
        if isinstance(traces, Sequence) and traces:
            named |= dict.fromkeys(map(str, traces), error)
        else:
            stray.append(error)
    return named, stray


def _same_object(item: Input, results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The result without a trace id that is this input's: by its unique value, or by its record id."""
    unique = item.get("idProperty")
    for result in results:
        if "objectWriteTraceId" in result:
            continue
        properties = result.get("properties")
        value = properties.get(unique) if unique and isinstance(properties, Mapping) else result.get("id")
        # HubSpot stores e-mail addresses in lower case.
        if value is not None and str(value).casefold() == str(item["id"]).casefold():
            return result
    return None


BATCHING = Batching(join=join, split=split)

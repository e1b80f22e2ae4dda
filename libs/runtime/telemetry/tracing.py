"""One trace from webhook to remote id, carried through Kafka and the database as a W3C `traceparent`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_ids = RandomIdGenerator()
_tracer = trace.get_tracer("tillstream")
_exporting = True


def set_up_tracing(service: str, endpoint: str | None, exporter: SpanExporter | None = None) -> None:
    """Export spans to an OTLP collector, or to `exporter`. With neither, trace ids still travel along."""
    global _tracer, _exporting  # noqa: PLW0603 - one tracer a process, replaced once at start
    _exporting = exporter is not None or bool(endpoint)
    provider = TracerProvider(resource=Resource.create({"service.name": f"tillstream-{service}"}))
    if _exporting:
        chosen = exporter or OTLPSpanExporter(endpoint=f"{(endpoint or '').rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(chosen))
    _tracer = provider.get_tracer("tillstream")


def exporting() -> bool:
    """Whether anybody receives spans."""
    return _exporting


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    traceparent: str | None = None,
    attributes: Mapping[str, str | int] | None = None,
) -> Iterator[Span]:
    """A span, child of `traceparent` when given. Attributes hold ids of ours, never keys or data of people."""
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    if not _exporting:
        current = _unseen(context)
        token = attach(trace.set_span_in_context(current))
        try:
            yield current
        finally:
            detach(token)
        return
    with _tracer.start_as_current_span(name, context=context, kind=kind, attributes=dict(attributes or {})) as current:
        yield current


def _unseen(context: Context | None) -> Span:
    """A span that nobody exports: its ids travel along, and nothing of it is recorded (a third of the cost)."""
    parent = trace.get_current_span(context).get_span_context()
    if parent.is_valid:
        trace_id, flags, state = parent.trace_id, parent.trace_flags, parent.trace_state
    else:
        trace_id, flags, state = _ids.generate_trace_id(), TraceFlags(TraceFlags.SAMPLED), None
    return NonRecordingSpan(SpanContext(trace_id, _ids.generate_span_id(), False, flags, state))


def traceparent() -> str | None:
    """The current span as a `traceparent` header value."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return None
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"

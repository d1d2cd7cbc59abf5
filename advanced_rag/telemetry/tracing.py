"""Traces: a span for each request and each of its stages, sent over OTLP where the settings ask for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from opentelemetry import trace

from advanced_rag import __version__
from advanced_rag.config import TracingSettings
from advanced_rag.telemetry import metrics

_QUEUE_SPANS, _BATCH_SPANS = 4096, 512
_tracer = trace.get_tracer("advanced_rag")


@contextmanager
def stage(name: str, timings_ms: dict[str, float] | None = None, *, holds: bool = True) -> Iterator[None]:
    """Measure a stage of a request: as a span, in the metrics, and in ``timings_ms``; names are few and fixed.

    A stage that ``holds`` is the parent of what is traced within; a block with a ``yield`` in it must not.
    """
    started = time.perf_counter()
    span = _tracer.start_span(name)
    try:
        # Messages of exceptions stay out: a foreign one may quote what it failed on.
        with trace.use_span(span, record_exception=False, set_status_on_exception=False) if holds else nullcontext():
            yield
    except Exception as error:
        span.set_attribute("error.type", getattr(error, "code", None) or type(error).__name__)
        raise
    finally:
        span.end()
        elapsed = time.perf_counter() - started
        metrics.STAGE_SECONDS.labels(name).observe(elapsed)
        if timings_ms is not None:
            timings_ms[name] = round(elapsed * 1000, 3)


def trace_ids() -> dict[str, str]:
    """Return the ids of the current span, for a log line; nothing when there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


@contextmanager
def tracing(settings: TracingSettings) -> Iterator[None]:
    """Send spans to the collector until the block ends; what it does not take in time is dropped."""
    if not settings.enabled:
        yield
        return
    # Slow to import, and only for those who trace.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=settings.timeout_s)
    provider = TracerProvider(
        resource=Resource.create({"service.name": "advanced-rag", "service.version": __version__}),
        sampler=ParentBasedTraceIdRatio(settings.sample_ratio),
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE_SPANS,
            max_export_batch_size=_BATCH_SPANS,
            export_timeout_millis=settings.timeout_s * 1000,
        )
    )
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()

"""Metrics for OpenTelemetry: from the server's families to what its exporters take.

Owns: the reporter ``opentelemetry``: the translation, the exporter and its resource.
Must not know: how numbers reach this process.

This module alone imports OpenTelemetry, in the process of the sinks. What is counted in shared memory is handed to an
exporter as it is: instruments would count it again, and have none for a histogram that exists already. Where the
exporter sends to, with which headers and certificates, the standard variables ``OTEL_EXPORTER_OTLP_...`` say; how
often, ``OTEL_METRIC_EXPORT_INTERVAL``; what we are called, ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES``.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any, Dict, List, Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from server_core.observe.families import COUNTER, Distribution, Family, Point
from server_core.observe.sinks import Reporter
from server_core.version import PRODUCT, __version__

DEFAULT_INTERVAL = 60.0  # seconds, as in the specification
NANOSECONDS = 1_000_000_000


def interval(environ: Mapping[str, str]) -> float:
    """Return the seconds between two exports: ``OTEL_METRIC_EXPORT_INTERVAL`` (milliseconds) or the default."""
    try:
        return max(0.1, float(environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")) / 1000)
    except ValueError:
        return DEFAULT_INTERVAL


class OpenTelemetry(Reporter):
    """Sends families by OTLP over HTTP."""

    server_api = 1  # the plugin contract this class is written for

    def __init__(self, cfg: Any, started: float) -> None:
        super().__init__(cfg, started)
        self.every = interval(os.environ)
        # Its failures come back as results, and are reported with the others of this process.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter: Any = OTLPMetricExporter()
        attributes = {"service.instance.id": f"{socket.gethostname()}:{os.getppid()}"}
        if "OTEL_SERVICE_NAME" not in os.environ and "service.name" not in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        ):
            attributes["service.name"] = cfg.proc_name
        self._resource = Resource.create(attributes)

    def report(self, families: List[Family], now: float) -> bool:
        """Send families as they were at ``now`` (seconds since the epoch); return whether they arrived.

        It tries for as long as ``OTEL_EXPORTER_OTLP_TIMEOUT`` says, 10 seconds without it.
        """
        data = translate(families, self._resource, int(self.started * NANOSECONDS), int(now * NANOSECONDS))
        result = self._exporter.export(data)
        return bool(result is MetricExportResult.SUCCESS)

    def close(self) -> None:
        """Give the exporter's connection up."""
        self._exporter.shutdown()


def translate(families: List[Family], resource: Resource, started: int, now: int) -> MetricsData:
    """Return families as OpenTelemetry's data; times are nanoseconds since the epoch."""
    metrics = [
        Metric(name=family.name, description=family.help, unit="", data=_data(family, started, now))
        for family in families
        if family.points
    ]
    scope = ScopeMetrics(scope=InstrumentationScope(PRODUCT, __version__), metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _data(family: Family, started: int, now: int) -> Any:
    if isinstance(family.points[0].value, Distribution):
        points = [_distribution(point, started, now) for point in family.points]
        return Histogram(data_points=points, aggregation_temporality=AggregationTemporality.CUMULATIVE)
    numbers = [NumberDataPoint(_attributes(point), started, now, point.value) for point in family.points]
    if family.kind == COUNTER:
        return Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Gauge(numbers)


def _attributes(point: Point) -> Dict[str, str]:
    return dict(point.labels)


def _distribution(point: Point, started: int, now: int) -> HistogramDataPoint:
    value = point.value
    assert isinstance(value, Distribution)  # noqa: S101 - the kind of all points of a family
    return HistogramDataPoint(
        attributes=_attributes(point),
        start_time_unix_nano=started,
        time_unix_nano=now,
        count=int(value.total),
        sum=value.sum,
        bucket_counts=[int(count) for count in value.counts],
        explicit_bounds=list(value.bounds),
        min=float("inf"),
        max=float("-inf"),
    )

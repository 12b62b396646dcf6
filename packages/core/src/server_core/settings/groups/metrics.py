"""Settings of metrics: where they are shown, where they are sent."""

from server_core.settings.declare import Group, Setting
from server_core.settings.references import HostPort, ListeningAddress
from server_core.settings.values import Boolean, ListOf, Size, Text

GROUP = Group(
    "Metrics",
    [
        Setting("metrics_bind", ListeningAddress(), None,
                "Where the arbiter serves /metrics, /livez, /readyz and a status page, for example 127.0.0.1:9100."),
        Setting("application_metrics", Boolean(), False,
                "Show the metrics that the application makes with prometheus_client, from all workers as one."),
        Setting("application_metrics_size", Size(4096), 1 << 20,
                "Memory of each process for metrics of the application; it stays as it is until a restart."),
        Setting("reporters", ListOf(Text("NAME"), ","), [],
                "How else metrics are sent, a comma list: 'opentelemetry' sends to the collector of the variable"
                " OTEL_EXPORTER_OTLP_ENDPOINT, each OTEL_METRIC_EXPORT_INTERVAL milliseconds; packages bring others."),
        Setting("statsd_host", HostPort(8125), None,
                "The statsd server to send metrics to: HOST:PORT or unix://PATH."),
        Setting("statsd_prefix", Text("PREFIX"), "", "What the names of statsd metrics begin with."),
        Setting("dogstatsd_tags", Text("TAGS"), "", "A comma list of tags to send with statsd metrics."),
        Setting("enable_backlog_metric", Boolean(), False,
                "Measure how many connections wait to be accepted (Linux)."),
    ],
)  # fmt: skip

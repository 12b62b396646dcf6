"""Settings that bound durations."""

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Choice, ListOf, Seconds, UrlPath

GROUP = Group(
    "Timeouts",
    [
        Setting("timeout", Seconds(), 30,
                "A worker silent for longer is reported with its requests and stacks, then aborted; 0 turns this off.",
                "-t"),
        Setting("boot_timeout", Seconds(), 300,
                "How long a worker may take to load the application and become ready; 0 means for ever."),
        Setting("request_timeout", Seconds(), 0,
                "End a request that runs longer, looked at once a second: 503 before the head of the answer, after it "
                "the stream is cut. In all workers but sync; 0 turns this off."),
        Setting("max_queue_time", Seconds(), 0,
                "When for this long every request has waited for longer than this before the application began, "
                "refuse those that did, with 503 and Retry-After; 0 never does."),
        Setting("max_queue_time_exempt", ListOf(UrlPath(), ","), [],
                "Beginnings of paths that max_queue_time never refuses, '/health,/admin'."),
        Setting("graceful_timeout", Seconds(), 30,
                "How long workers may finish requests after a stop or reload before they are killed."),
        Setting("keepalive", Seconds(), 2,
                "How long an idle connection is kept for a next request; 0 closes after each answer.",
                "--keep-alive"),
        Setting("header_timeout", Seconds(), 30,
                "How long the head of a request may take to arrive; 0 means for ever."),
        Setting("body_timeout", Seconds(), 30,
                "How long a request body may make no progress; 0 means for ever."),
        Setting("send_timeout", Seconds(), 30,
                "How long a client may take nothing of an answer; 0 means for ever."),
        Setting("half_close", Choice("answer", "disconnect"), "answer",
                "What a client that closes its sending side during a request is to asgi: still waiting for the "
                "answer, or gone; the other workers answer it."),
    ],
)  # fmt: skip

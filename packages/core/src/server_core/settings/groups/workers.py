"""Settings of the worker processes."""

from server_core.settings.declare import Group, Setting
from server_core.settings.references import ClassRef
from server_core.settings.values import Boolean, Choice, Cores, Integer, Seconds, Size

GROUP = Group(
    "Worker Processes",
    [
        Setting("workers", Integer(1), 1, "How many worker processes serve requests.", "-w", env="WEB_CONCURRENCY"),
        Setting("workers_max", Integer(0), 0,
                "The most workers that TTIN and serverctl may reach; 0 means no limit."),
        Setting("adaptive_workers", Boolean(), False,
                "Let the number of workers follow the load between workers and workers_max: more when they are busy "
                "for 80 % of their time, fewer when a minute's work fits into fewer."),
        Setting("worker_class", ClassRef(), "sync",
                "The kind of worker: sync, gthread, asgi, gevent, eventlet, a dotted path, egg:DIST#NAME or a class.",
                "-k"),
        Setting("threads", Integer(1), 1,
                "Threads of a gthread worker; more than 1 turns sync into gthread."),
        Setting("worker_connections", Integer(1), 1000,
                "How many clients a worker holds at the same time."),
        Setting("max_requests", Integer(0), 0,
                "Replace a worker after so many requests; 0 means never."),
        Setting("max_requests_jitter", Integer(0), 0,
                "Add a random number up to this to max_requests, for each worker."),
        Setting("max_memory", Size(), 0,
                "Replace a worker whose resident memory exceeds this many bytes ('512m'); 0 means never."),
        Setting("preload_app", Boolean(), False,
                "Load the application once, before workers are forked, and share its memory.", "--preload",
                aliases=("preload",)),
        Setting("reload_strategy", Choice("rolling", "all"), "rolling",
                "On a reload replace workers one by one (rolling) or all at once (all); old ones stop only when new "
                "ones are ready."),
        Setting("cpu_affinity", Cores(), "",
                "The cores of each slot, '0,1;2,3' for two slots; 'auto' gives each slot one core in turn."),
        Setting("busy_handover", Seconds(), 0.01,
                "When the application of a sync worker has run this long, idle connections on which a request "
                "arrives are passed to an idle worker; 0 turns this off."),
        Setting("http_parser", Choice("auto", "fast", "python"), "auto",
                "auto takes the compiled protocol engine when it is there, fast insists on it, and python runs the "
                "sources of the same engine, which are slower."),
    ],
)  # fmt: skip

"""The settings of the example image. What differs between places comes from the environment."""

import os

bind = ["0.0.0.0:8000"]
worker_class = "asgi"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

metrics_bind = "0.0.0.0:9100"  # /metrics, /livez, /readyz: not for the world
control_socket_disable = True  # nobody logs in here
accesslog = "-"
log_format = "json"

graceful_timeout = 25  # below the time that the orchestrator waits before it kills
max_memory = os.environ.get("MAX_MEMORY", "0")  # per worker, "300m"; below the container's limit

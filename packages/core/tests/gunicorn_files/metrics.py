# Metrics of several processes: files of dead children are cleaned up in the arbiter.
from pathlib import Path

bind = ["0.0.0.0:8080", "unix:/run/app.sock"]
workers = 4
worker_class = "gthread"
threads = 4

dead = []


def when_ready(server):
    Path("ready").write_text("ready")


def child_exit(server, worker):
    dead.append(worker.pid)


def on_exit(server):
    Path("ready").unlink()

# Every hook, in the forms people write them.
import functools

calls = []


def on_starting(server):
    calls.append("on_starting")


def on_reload(server):
    calls.append("on_reload")


when_ready = lambda server: calls.append("when_ready")  # noqa: E731


def pre_fork(server, worker):
    calls.append("pre_fork")


def post_fork(*args):
    calls.append("post_fork")


def post_worker_init(worker, flavour="none"):
    calls.append("post_worker_init")


def _record(name, worker):
    calls.append(name)


worker_int = functools.partial(_record, "worker_int")
worker_abort = functools.partial(_record, "worker_abort")


class Exec:
    def __call__(self, server):
        calls.append("pre_exec")


pre_exec = Exec()


def pre_request(worker, req):
    calls.append("pre_request")


def post_request(worker, req, environ):
    calls.append("post_request")


def child_exit(server, worker):
    calls.append("child_exit")


def worker_exit(server, worker):
    calls.append("worker_exit")


def nworkers_changed(server, new_value, old_value):
    calls.append("nworkers_changed")


def on_exit(server):
    calls.append("on_exit")

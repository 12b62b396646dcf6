# A worker class of one's own, over gunicorn's, that reacts to signals.
import gunicorn
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker

gunicorn.SERVER_SOFTWARE = "hidden"


class GracefulWorker(SyncWorker):
    def handle_quit(self, sig, frame):
        self.app.application_is_stopping = True
        super().handle_quit(sig, frame)

    def init_process(self):
        self.warmed = True
        super().init_process()


class Threaded(ThreadWorker):
    pass


assert issubclass(GracefulWorker, Worker)
worker_class = GracefulWorker
workers = 3

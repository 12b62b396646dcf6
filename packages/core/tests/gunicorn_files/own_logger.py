# A logger class in the config file, and one that quietens health checks.
import logging

from gunicorn import glogging
from gunicorn.glogging import CONFIG_DEFAULTS


class QuietLogger(glogging.Logger):
    def setup(self, cfg):
        super().setup(cfg)
        logging.getLogger("gunicorn.access").addFilter(NoHealth())

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["x"] = "extra"
        return atoms


class NoHealth(logging.Filter):
    def filter(self, record):
        return record.args["U"] != "/health"


logger_class = QuietLogger
accesslog = "-"
access_log_format = "%(m)s %(U)s %(s)s %({x-trace}i)s %({content-type}o)s"
defaults_seen = CONFIG_DEFAULTS["version"]

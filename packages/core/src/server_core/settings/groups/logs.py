"""Settings of logs and of metrics that are pushed."""

import sys

from server_core.settings.declare import Computed, Group, Setting
from server_core.settings.references import ClassRef
from server_core.settings.values import Boolean, Choice, FieldName, Table, Text

ACCESS_FORMAT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

_SYSLOG = {
    "darwin": "unix:///var/run/syslog",
    "freebsd": "unix:///var/run/log",
    "dragonfly": "unix:///var/run/log",
    "openbsd": "unix:///dev/log",
}


def _syslog_address() -> str:
    return next((address for name, address in _SYSLOG.items() if sys.platform.startswith(name)), "udp://localhost:514")


GROUP = Group(
    "Logging",
    [
        Setting("accesslog", Text("FILE"), None,
                "Where requests are logged; '-' is standard output.", "--access-logfile"),
        Setting("access_log_format", Text("FORMAT", strip=False), ACCESS_FORMAT,
                "The format of a line of the access log.", "--access-logformat"),
        Setting("disable_redirect_access_to_syslog", Boolean(), False,
                "Keep the access log out of syslog."),
        Setting("errorlog", Text("FILE"), "-",
                "Where the server's own log goes; '-' is standard error.", "--error-logfile", "--log-file"),
        Setting("loglevel", Choice("debug", "info", "warning", "error", "critical",
                                   also={"warn": "warning", "fatal": "critical"}), "info",
                "The least level that is logged.", "--log-level"),
        Setting("log_format", Choice("text", "json"), "text",
                "Write both logs as text or as one JSON object per line."),
        Setting("capture_output", Boolean(), False,
                "Send standard output and standard error to the error log."),
        Setting("logger_class", ClassRef(), "server_core.log.setup.Logger",
                "The class that logs.",),
        Setting("logconfig", Text("FILE"), None, "A logging config file in ini format.", "--log-config"),
        Setting("logconfig_dict", Table(), {},
                "A dict for logging.config.dictConfig; wins over the files.", cli=False),
        Setting("logconfig_json", Text("FILE"), None,
                "A JSON file for logging.config.dictConfig.", "--log-config-json"),
        Setting("syslog", Boolean(), False, "Send logs to syslog.", "--log-syslog"),
        Setting("syslog_addr", Text("ADDRESS"), Computed("depends on the platform", _syslog_address),
                "Where syslog is: unix://PATH#dgram, unix://PATH#stream, udp://HOST:PORT or tcp://HOST:PORT.",
                "--log-syslog-to"),
        Setting("syslog_prefix", Text("NAME"), None, "The program name in syslog.", "--log-syslog-prefix"),
        Setting("syslog_facility", Text("FACILITY"), "user", "The facility in syslog.", "--log-syslog-facility"),
        Setting("enable_stdio_inheritance", Boolean(), False,
                "Keep standard output and error of a daemon.", "-R"),
        Setting("request_id", Choice("off", "on", "response", also={True: "on", False: "off"}), "off",
                "Give every request an id, in the environ or scope and in both logs; 'response' also answers it. "
                "A trusted proxy's id is taken over.", const="on"),
        Setting("request_id_header", FieldName("NAME"), "X-Request-ID", "The header that carries the id of a request."),
    ],
)  # fmt: skip

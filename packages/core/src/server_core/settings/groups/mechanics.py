"""Settings of the process, and of the peers it trusts."""

from server_core.settings.config import working_directory
from server_core.settings.declare import Computed, Group, Setting
from server_core.settings.references import ExistingDirectory, GroupId, Networks, UserId
from server_core.settings.values import Assignment, Boolean, Choice, FileMode, Integer, ListOf, Seconds, Table, Text

GROUP = Group(
    "Server Mechanics",
    [
        Setting("sendfile", Boolean(), True,
                "Send files with sendfile(2) where the connection allows it.", env="SENDFILE"),
        Setting("chdir", ExistingDirectory(), Computed("the working directory", working_directory),
                "Change to this directory before anything is loaded, and import from it."),
        Setting("daemon", Boolean(), False,
                "Detach from the terminal and run in the background; the command ends when the first worker serves, "
                "or with the reason why none does.", "-D"),
        Setting("raw_env", ListOf(Assignment()), [],
                "KEY=VALUE to set in the environment of the application; may be given several times.",
                "-e", "--env"),
        Setting("pidfile", Text("FILE"), None, "The file to write the process id of the arbiter to.", "-p", "--pid"),
        Setting("worker_tmp_dir", ExistingDirectory(), None,
                "The directory for temporary files, which are spooled bodies of requests and responses."),
        Setting("tmp_upload_dir", ExistingDirectory(), None,
                "As worker_tmp_dir, and before it.", cli=False),
        Setting("user", UserId(), Computed("the present user", lambda: UserId().parse(None)),
                "The user workers run as, by name or number.", "-u"),
        Setting("group", GroupId(), Computed("the present group", lambda: GroupId().parse(None)),
                "The group workers run as, by name or number.", "-g"),
        Setting("umask", FileMode(), 0,
                "The umask unix sockets are made with; log and pid files are made with that of the process.", "-m"),
        Setting("initgroups", Boolean(), False, "Give workers all groups of their user."),
        Setting("pythonpath", Text("DIRS"), None, "A comma list of directories to import from."),
        Setting("paste", Text("FILE"), None,
                "A PasteDeploy file FILE.ini or FILE.ini#SECTION to load the application from.", "--paster"),
        Setting("raw_paste_global_conf", ListOf(Assignment()), [],
                "KEY=VALUE for the PasteDeploy file; may be given several times.", "--paste-global"),
    ],
)  # fmt: skip

PEERS = Group(
    "Proxies And Headers",
    [
        Setting("forwarded_allow_ips", Networks(), ["127.0.0.1", "::1"],
                "Proxies whose forwarding headers are believed; unix peers always are. '*' believes everyone.",
                env="FORWARDED_ALLOW_IPS"),
        Setting("secure_scheme_headers", Table(),
                {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
                "Headers and values by which a trusted proxy says that the client used https; not read where "
                "forwarded_hops reads Forwarded.", cli=False),
        Setting("forwarded_hops", Integer(0), 0,
                "Proxies between client and server that each add themselves to the forwarding fields; with 0 client "
                "and host stay those of the connection."),
        Setting("forwarded_header", Choice("x-forwarded", "forwarded"), "x-forwarded",
                "Which fields forwarded_hops reads: X-Forwarded-* and secure_scheme_headers, or Forwarded (RFC 7239); "
                "never both."),
        Setting("forwarder_headers", ListOf(Text("NAME"), ","), ["SCRIPT_NAME", "PATH_INFO"],
                "Names with underscores a trusted proxy may set; '*' for all."),
        Setting("header_map", Choice("drop", "refuse", "dangerous"), "drop",
                "What becomes of header names with underscores from others: dropped, refused, or let through."),
        Setting("proxy_protocol",
                Choice("off", "v1", "v2", "auto", also={True: "auto", False: "off", "true": "auto", "false": "off"}),
                "off",
                "PROXY protocol headers to read: v1 and v2 demand the header from the peers of proxy_allow_ips, auto "
                "takes it or leaves it; bare means auto.", const="auto"),
        Setting("proxy_allow_ips", Networks(), ["127.0.0.1", "::1"],
                "Peers that may send a PROXY header.", "--proxy-allow-from"),
        Setting("proxy_protocol_timeout", Seconds(0.001), 5,
                "How long a PROXY header may take to arrive."),
        Setting("uwsgi_allow_ips", Networks(), ["127.0.0.1", "::1"],
                "Peers that may speak the uwsgi protocol.", "--uwsgi-allow-from"),
        Setting("root_path", Text("PATH", strip=False), "",
                "The prefix the application is mounted at (root_path of an ASGI scope)."),
    ],
)  # fmt: skip

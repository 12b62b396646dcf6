"""Settings that bound sizes, and relaxations of the HTTP grammar."""

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Boolean, Integer, Size

FIELDS_MAX = 32768

GROUP = Group(
    "Security",
    [
        Setting("limit_request_line", Size(), 8000,
                "The most bytes of a request line; 0 means no limit."),
        Setting("limit_request_fields", Integer(0, FIELDS_MAX), 100,
                "The most header fields of a request; 0 means 32768."),
        Setting("limit_request_field_size", Size(), 8190,
                "The most bytes of one header line; 0 means no limit.", "--limit-request-field_size"),
        Setting("limit_request_body", Size(), 0,
                "The most bytes of a request body ('10m'), answered 413 above; 0 means no limit."),
        Setting("body_buffer", Size(), 128 * 1024,
                "Bytes of a request body that sync and gthread keep in memory, the rest in a temporary file; gthread "
                "streams a larger one while a thread is left for others."),
        Setting("body_spool", Size(), 4 * 1024**3,
                "The largest request body that sync and gthread take before the application runs, answered 413 above; "
                "0 means no limit."),
        Setting("spool_total", Size(), 8 * 1024**3,
                "Bytes of all spool files of a worker; at this bound it stops reading request bodies and waits for "
                "readers of responses; 0 means no limit."),
        Setting("response_spool", Size(), 1024**3,
                "Bytes of a response that are spooled for a slow reader while other requests wait for its thread; "
                "beyond it the thread waits for the reader; 0 spools nothing."),
        Setting("permit_obsolete_folding", Boolean(), False,
                "Accept header values folded over several lines."),
        Setting("strip_header_spaces", Boolean(), False,
                "Accept space between a header name and its colon."),
        Setting("permit_unconventional_http_method", Boolean(), False,
                "Accept methods in lower case, with '#', shorter than 3 or longer than 20 characters."),
        Setting("permit_unconventional_http_version", Boolean(), False,
                "Accept HTTP versions outside 1.0 to 1.9."),
        Setting("casefold_http_method", Boolean(), False,
                "Turn methods into upper case."),
    ],
)  # fmt: skip

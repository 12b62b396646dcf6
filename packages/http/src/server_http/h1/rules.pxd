from server_http.defaults cimport ResponseDefaults
from server_http.headers cimport AddressSet, AppliedPolicy

cdef class RequestRules:
    cdef readonly object limits
    cdef readonly AppliedPolicy policy
    cdef readonly ResponseDefaults defaults
    cdef readonly AddressSet trusted_peers, uwsgi_peers
    cdef readonly long long request_line, header_field, header_count, leading_empty_lines, head, body, uwsgi_vars
    cdef readonly long long receive_high_water, send_high_water, send_low_water, unread_body_drain
    cdef readonly double head_timeout, body_timeout, send_timeout, keepalive, first_request, drain_idle
    cdef readonly bint persistent, relaxed
    cdef readonly object grammar

    cpdef check_length(self, long long length)

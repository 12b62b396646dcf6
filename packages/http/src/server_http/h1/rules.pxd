cdef class RequestRules:
    cdef readonly long long request_line, header_field, header_count, leading_empty_lines, head, body, send_high_water
    cdef readonly bint persistent, relaxed
    cdef readonly object grammar

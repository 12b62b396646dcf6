cdef class ResponseDefaults:
    cdef public bytes server, date, server_line, date_line, lines
    cdef long long _second

import cython

cdef dict _environ_keys, _header_names

@cython.locals(environ=dict)
cpdef request_environ(connection, request, client)
@cython.locals(text=str)
cdef _set_path(dict environ, request)
@cython.locals(key=str)
cdef _set_headers(dict environ, headers)
cdef _environ_key(name)
@cython.locals(digits=str)
cpdef tuple parse_status(status)
@cython.locals(encoded=list)
cpdef tuple encode_headers(headers)
cdef _header_name(name)

cdef class StartResponse:
    cdef object _sink, _trailers
    cdef public int status
    cdef public object reason, length
    cdef public list headers
    cdef public bint head_sent

    cpdef write(self, data)
    cpdef send_head(self)
    cpdef set_length(self, length)
    cpdef bint has_trailers(self)

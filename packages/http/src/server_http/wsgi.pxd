cimport cython

cdef dict _header_names, _statuses

@cython.locals(digits=str)
cpdef tuple parse_status(status)
cdef class HeaderName:
    cdef bytes octets
    cdef bint is_length
    cdef tuple latest

    @cython.locals(known=str, latest=tuple)
    cdef tuple field(self, value)

@cython.locals(encoded=list, known=HeaderName, latest=tuple, field=tuple)
cpdef tuple encode_headers(headers)
@cython.locals(characters=str)
cdef bytes _latin1(text)
cdef _header_name(name)

cdef class StartResponse:
    cdef object _sink, _trailers
    cdef public int status
    cdef public object reason, length
    cdef public list headers
    cdef public bint head_sent

    cpdef write(self, data)
    cpdef send_head(self)
    cpdef declare(self, long long size, method)
    cpdef tuple take_whole(self, long long size, method)
    cpdef set_length(self, long long length)

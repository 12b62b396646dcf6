cdef class AccessLog:
    cdef public bint enabled
    cdef object _line, _sink, _logger, _monotonic, _due
    cdef list _lines
    cdef long long _size, _reported
    cdef bint _direct

    cpdef write(self, request, response, environ, seconds)
    cpdef deadline(self)
    cpdef flush(self)

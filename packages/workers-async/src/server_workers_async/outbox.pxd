import cython

cdef double WAIT_SECONDS

cdef class Writer:
    cdef public long long high_water

    cpdef flush_soon(self)
    cpdef settle_soon(self)
    cpdef on_turn_end(self, double now)

cdef class Outbox:
    cdef object _loop, _context
    cdef list _sessions
    cdef bint _scheduled
    cdef double _begun

    cpdef add(self, Writer session)
    cdef begin_request(self, double now)
    @cython.locals(sessions=list, session=Writer, now=cython.double)
    cpdef flush(self)
    cpdef _end_turn(self)

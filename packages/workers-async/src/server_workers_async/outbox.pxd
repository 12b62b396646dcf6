import cython

from server_workers_async.session cimport Session

cdef double WAIT_SECONDS

cdef class Outbox:
    cdef object _loop, _context
    cdef list _sessions
    cdef bint _scheduled
    cdef double _begun

    cpdef add(self, Session session)
    cdef begin_request(self, double now)
    @cython.locals(sessions=list, session=Session, now=cython.double)
    cpdef flush(self)
    cpdef _end_turn(self)

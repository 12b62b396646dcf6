import cython
from server_core.drive.clock cimport monotonic
from server_core.drive.session cimport Session

cdef Py_ssize_t SEND_OCTETS
cdef object CollectedBody, StreamedBody

cdef class Channel:
    cdef public Session session
    cdef public Channel behind
    cdef public long long stream, sent, owed
    cdef public object request, method, target, body, waiter, reason, headers, environ, unplaced
    cdef public bint collecting, lost, finished, last, keep_alive
    cdef public int status
    cdef public double began, arrived, waited, queued_since
    cdef list _files
    cdef object _spool
    cdef long long _spooled

    cdef set_up(self, Session session, long long stream, request)
    cpdef respond(self, int status, headers, reason=*)
    @cython.locals(session=Session, full=cython.bint, start=Py_ssize_t)
    cpdef send(self, data)
    cpdef end(self, trailers=*)
    cpdef answer(self, int status, headers, reason, parts)
    cpdef done(self)
    cpdef lose(self)
    cpdef release(self)
    cdef int _check(self) except -1
    cdef bint _send(self, data, double now) except -1
    cdef _answer(self, int status, headers, reason, body, double now)
    cdef _leave_body(self)
    cdef _finish(self, double now, trailers)

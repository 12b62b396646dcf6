from server_workers_async.outbox cimport Writer
from server_workers_async.service cimport Service

cdef list _NONE

cdef class Stream:
    cdef public Service service
    cdef public Writer session
    cdef public object engine, request, stream, task, entry, status, headers, sent, view, armed
    cdef public dict scope
    cdef public double began, doomed_at, waited
    cdef public bint finished, lost, gone
    cdef public long long _credit
    cdef public list _readers, _writers

    cdef set_up(self, session, engine, request, double now, double waited)
    cpdef begin_grace(self, double now)
    cpdef cancel(self)
    cpdef gone_error(self)
    cpdef wake_readers(self)
    cpdef wake_writers(self)
    cpdef on_closed(self)

cdef _wake(list waiters)

import cython
from server_core.drive.channel cimport Channel
from server_core.drive.reactor cimport Reactor
from server_core.drive.wsgi cimport Gateway
from server_core.scoreboard.record cimport ThreadRecord

cdef class PoolThread:
    cdef public object signal, thread
    cdef public Channel channel
    cdef ThreadRecord record
    cdef Pool pool

    cpdef wake(self)

cdef class Pool:
    cdef public object jobs
    cdef public list threads
    cdef object _put, _take, _log, _local
    cdef Gateway _gateway
    cdef list _idle
    cdef dict _spooling
    cdef bint _stopping, _coming

    cpdef submit(self, Channel channel)
    @cython.locals(thread=PoolThread)
    cpdef wake_one(self)
    cpdef Channel next(self, PoolThread thread)
    cdef _sleep(self, PoolThread thread)
    cpdef serve(self, Channel channel, ThreadRecord record)
    cpdef bint pressed(self) except -1

cdef class PooledReactor(Reactor):
    cdef double _timeout_seconds, _request_timeout
    cdef dict _streaming
    cdef long long _streaming_max
    cdef public Pool pool

    cpdef submit(self, Channel channel)
    cpdef closed(self, Channel channel, event, double now)
    cpdef bint has_ready(self) except -1

import cython

from server_workers_async.channel cimport http_channel
from server_workers_async.outbox cimport Outbox, Writer
from server_workers_async.service cimport Service
from server_workers_async.stream cimport Stream

cdef int OPEN, CLOSING, LINGERING, CLOSED, WOULD_BLOCK, READS_PER_TURN, BACKGROUND_MAX

cdef class Session(Writer):
    cdef public Service service
    cdef public object sock, fd, connection, layer, engine, limits, armed, _template, _lingering
    cdef public dict channels
    cdef list _queue
    cdef public long long running
    cdef public int phase
    cdef public double _due, _patience
    cdef public bint _reading, _writing, _turning, _acted, _flushing, _eof, _linger, _timed
    cdef public double _arrived, _delayed
    cdef Outbox _outbox
    cdef public object _arrivals, _told

    @cython.locals(reads=int)
    cpdef on_readable(self)
    cdef bint _read(self) except -1
    cdef _take_eof(self, double now)
    cdef _expire(self, double now)
    cpdef application_ended(self, Stream channel)
    @cython.locals(queue=list, wrote=cython.bint)
    cpdef on_turn_end(self, double now)
    @cython.locals(wrote=cython.bint, count=cython.longlong, segments=list)
    cdef bint _write(self) except -1
    cdef _stop_writing(self)
    cdef _settle(self, double now)
    cdef _arm(self, double deadline)
    cdef _watch(self, bint wanted)
    @cython.locals(starting=Stream)
    cdef _dispatch(self, events, double now)
    cdef _stream_event(self, event, kind, double now)
    cdef _connection_event(self, event, kind)
    cdef _choose_layer(self)
    @cython.locals(channel=Stream)
    cdef _request(self, event, double now)
    cdef bint _answered(self, stream, request, double now) except -1
    @cython.locals(channel=Stream)
    cdef _stream_closed(self, event)
    cdef _ended(self, event)
    cdef _warn(self, message, level)
    cdef _finish(self, double now)
    cpdef break_off(self, error)
    cpdef close(self)

cimport cython
from server_http.events cimport ConnectionEnded, StreamClosed, stream_closed
from server_http.engine cimport ConnectionInfo
from server_http.exchange cimport Exchange
from server_http.h1.output cimport Output, response_head
from server_http.h1.rules cimport RequestRules
from server_http.headers cimport AddressSet

cdef str HTTP_1_1
cdef int AWAITING, CHUNKED, ENDED, JOINED, RAW

cdef class SerialEngine:
    cdef ConnectionInfo _info
    cdef RequestRules _rules
    cdef bint _trusted, _draining, _progress, _resumed
    cdef int _state
    cdef long long _stream, _remaining, _unread
    cdef Exchange _exchange
    cdef object _held
    cdef Output _out
    cdef list _facts
    cdef readonly list queue
    cdef double _since

    cdef _set_up(self, ConnectionInfo info, config, int state, double now)
    cpdef list segments(self)
    cpdef bint sent(self, long long n) except -1
    cpdef long long pending(self, long long stream) except -1
    cpdef respond(self, long long stream, int status, headers, double now, reason=*)
    cdef _write_head(self, Exchange exchange, list fields, reason, double now)
    @cython.locals(size="long long")
    cpdef answer(self, long long stream, int status, headers, body, double now, reason=*)
    cpdef inform(self, long long stream, int status, headers, double now)
    cpdef send(self, long long stream, data, double now)
    cpdef send_file(self, long long stream, int fd, long long offset, long long count, double now)
    cpdef end(self, long long stream, double now, trailers=*)
    cpdef reset(self, long long stream, code, double now)
    cpdef consumed(self, long long stream, long long n)
    cpdef drain(self, double now)
    cpdef advance(self, double now)
    cpdef deadline(self)
    @cython.locals(timeout=double)
    cpdef handle_timer(self, double now)
    cdef Exchange _live(self, long long stream)
    cdef bint _reading(self)
    cdef _note(self, list facts)
    cdef _settle(self, double now, list events)
    cdef _fail(self, error, double now, list events)
    cdef _forget(self, error, long long sent, list events)
    cdef _close(self, list events, error, bint linger, bint abort=*)
    cdef list _decide(self, Exchange exchange, int status, headers, reason)
    cdef _open_tunnel(self)
    cdef double _input_timeout(self) except -1.0
    cdef _give_up_waiting(self, double timeout, double now, list events)
    cdef _finish(self, Exchange exchange, double now, list events)
    cdef bint _go_on(self, double now, list events) except -1

cimport cython
from server_http.events cimport BodyEnded, BodyReceived, ConnectionEnded, Request, StreamClosed, body_received, end_body, request_received, stream_closed
from server_http.engine cimport ConnectionInfo
from server_http.exchange cimport Exchange
from server_http.h1.body cimport ChunkedBody
from server_http.h1.output cimport Output, response_head
from server_http.h1.request cimport read_head
from server_http.h1.rules cimport RequestRules
from server_http.h1.scan cimport end_of_head
from server_http.headers cimport AddressSet, AppliedPolicy

cdef str HTTP_1_1
cdef bytes _NO_OCTETS
cdef int AWAITING, CHUNKED, DONE, ENDED, JOINED, RAW
cdef int IDLE, HEAD, LENGTH, CHUNKS, WAITING, TUNNEL, CLOSED

cdef class Http1Engine:
    cdef ConnectionInfo _info
    cdef object _scheme, _upgrade, _held
    cdef RequestRules _rules
    cdef bint _trusted, _progress, _resumed, _eof, _draining, _last
    cdef int _state
    cdef long long _stream, _remaining, _unread
    cdef Exchange _exchange, _spare
    cdef ChunkedBody _body
    cdef Output _out
    cdef list _facts
    cdef readonly list queue
    cdef double _since

    cpdef receive_data(self, data, double now)
    cpdef receive_eof(self, double now)
    cdef _apply_eof(self, double now, list events)
    cpdef advance(self, double now)
    @cython.locals(state=int)
    cpdef bint want_read(self) except -1
    cpdef list segments(self)
    cpdef bint sent(self, long long n) except -1
    cpdef long long pending(self, long long stream) except -1
    cpdef respond(self, long long stream, int status, headers, double now, reason=*)
    cdef list _respond(self, Exchange exchange, int status, headers, reason)
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
    cpdef deadline(self)
    @cython.locals(timeout=double)
    cpdef handle_timer(self, double now)
    @cython.locals(rules=RequestRules, exchange=Exchange, state=int)
    cdef double _input_timeout(self) except -1.0
    cdef _take(self, bytes data, double now, list events)
    cdef _hold(self, bytes data)
    @cython.locals(end=Py_ssize_t)
    cdef _take_head(self, bytes data, double now, list events)
    cdef _begin_head(self, bytes data, double now, list events)
    @cython.locals(end=Py_ssize_t)
    cdef _take_more_head(self, bytes data, double now, list events)
    cdef _accept(self, Request request, bytes data, Py_ssize_t at, double now, list events)
    cdef bint _hand_over(self, Request request, bytes data, Py_ssize_t at, double now, list events) except -1
    cdef _expect_body(self, length, bytes data, Py_ssize_t at, double now, list events)
    cdef bint _reading(self)
    cdef _take_body(self, bytes data, Py_ssize_t at, double now, list events)
    cdef _fail_body(self, error, double now, list events)
    @cython.locals(octets="const unsigned char *", end=Py_ssize_t, size=Py_ssize_t)
    cdef _take_length(self, bytes data, Py_ssize_t at, list events)
    @cython.locals(parts=list, body=ChunkedBody)
    cdef _take_chunks(self, bytes data, Py_ssize_t at, double now, list events)
    cdef _give(self, bytes content, list events)
    cdef _complete_body(self, bytes data, Py_ssize_t at, trailers, list events)
    cdef _open_tunnel(self)
    cdef Exchange _live(self, long long stream)
    cdef _note(self, list facts)
    cdef _settle(self, double now, list events)
    cdef _finish(self, Exchange exchange, double now, list events)
    cdef _next(self, double now, list events)
    cdef _discard(self, list events)
    cdef _fail(self, error, double now, list events)
    cdef _break(self, error, list events)
    cdef _forget(self, error, long long sent, list events)
    cdef _close(self, list events, error, bint linger, bint abort=*)

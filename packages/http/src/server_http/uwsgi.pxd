cimport cython
from server_http.events cimport BodyReceived, ConnectionEnded, Request, RequestReceived, StreamClosed, end_body
from server_http.engine cimport ConnectionInfo
from server_http.exchange cimport Exchange
from server_http.h1.output cimport Output, response_head
from server_http.h1.rules cimport RequestRules
from server_http.headers cimport AddressSet, AppliedPolicy
from server_http.uwsgi_request cimport Variables, build_request, read_variables

cdef int AWAITING, ENDED, STREAM, JOINED, PACKET, BODY, ANSWER, CLOSED
cdef str HTTP_1_0
cdef Py_ssize_t _HEADER_OCTETS

cdef class UwsgiEngine:
    cdef ConnectionInfo _info
    cdef RequestRules _rules
    cdef bint _allowed, _trusted, _progress
    cdef int _state
    cdef bytes _held
    cdef long long _remaining, _unread
    cdef Exchange _exchange
    cdef Output _out
    cdef list _facts
    cdef readonly list queue
    cdef double _since

    cpdef receive_data(self, data, double now)
    cpdef receive_eof(self, double now)
    cpdef advance(self, double now)
    cpdef bint want_read(self) except -1
    cpdef list segments(self)
    cpdef bint sent(self, long long n) except -1
    cpdef long long pending(self, long long stream) except -1
    cpdef respond(self, long long stream, int status, headers, double now, reason=*)
    cpdef inform(self, long long stream, int status, headers, double now)
    cdef _write_head(self, Exchange exchange, list fields, reason, bytes body, double now)
    @cython.locals(joined=bytes, size="long long")
    cpdef answer(self, long long stream, int status, headers, body, double now, reason=*)
    @cython.locals(size="long long")
    cpdef send(self, long long stream, data, double now)
    cpdef send_file(self, long long stream, int fd, long long offset, long long count, double now)
    cpdef end(self, long long stream, double now, trailers=*)
    cpdef reset(self, long long stream, code, double now)
    cpdef consumed(self, long long stream, long long n)
    cpdef drain(self, double now)
    cpdef deadline(self)
    cpdef handle_timer(self, double now)
    cdef double _input_timeout(self) except -1.0
    @cython.locals(held=bytes, octets="const char *", end=Py_ssize_t)
    cdef bytes _take_packet(self, bytes data, double now, list events)
    @cython.locals(exchange=Exchange, request=Request, length="long long")
    cdef _begin(self, Variables variables, double now, list events)
    cdef _take_body(self, bytes data, double now, list events)
    cdef Exchange _live(self, long long stream)
    cdef list _told(self)
    cdef _settle(self, list events)
    cdef _fail(self, error, double now, list events)
    cdef _break(self, error, list events)
    cdef _forget(self, error, long long sent, list events)
    cdef _close(self, list events, error, bint linger, bint abort=*)

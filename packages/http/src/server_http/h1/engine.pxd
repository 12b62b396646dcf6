cimport cython
from server_http.events cimport BodyEnded, BodyReceived, Request, body_received, end_body, request_received
from server_http.engine cimport ConnectionInfo
from server_http.exchange cimport Exchange
from server_http.h1.body cimport ChunkedBody
from server_http.h1.request cimport read_head
from server_http.h1.rules cimport RequestRules
from server_http.h1.scan cimport end_of_head
from server_http.headers cimport AddressSet, AppliedPolicy
from server_http.serial cimport SerialEngine

cdef bytes _NO_OCTETS
cdef int CLOSED, DONE, ENDED
cdef int IDLE, HEAD, LENGTH, CHUNKS, WAITING, TUNNEL

cdef class Http1Engine(SerialEngine):
    cdef object _scheme, _upgrade
    cdef bint _eof, _last
    cdef Exchange _spare
    cdef ChunkedBody _body

    cpdef receive_data(self, data, double now)
    cpdef receive_eof(self, double now)
    cdef _apply_eof(self, double now, list events)
    @cython.locals(state=int)
    cpdef bint want_read(self) except -1
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
    cdef _take_body(self, bytes data, Py_ssize_t at, double now, list events)
    cdef _fail_body(self, error, double now, list events)
    @cython.locals(octets="const unsigned char *", end=Py_ssize_t, size=Py_ssize_t)
    cdef _take_length(self, bytes data, Py_ssize_t at, list events)
    @cython.locals(parts=list, body=ChunkedBody)
    cdef _take_chunks(self, bytes data, Py_ssize_t at, double now, list events)
    cdef _give(self, bytes content, list events)
    cdef _complete_body(self, bytes data, Py_ssize_t at, trailers, list events)
    cdef _next(self, double now, list events)
    cdef _discard(self, list events)

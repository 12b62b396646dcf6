cimport cython
from server_http.events cimport BodyReceived, Request, RequestReceived, end_body
from server_http.engine cimport ConnectionInfo
from server_http.exchange cimport Exchange
from server_http.h1.rules cimport RequestRules
from server_http.headers cimport AddressSet, AppliedPolicy
from server_http.serial cimport SerialEngine
from server_http.uwsgi_request cimport Variables, build_request, read_variables

cdef int STREAM, PACKET, BODY, ANSWER, CLOSED
cdef str HTTP_1_0
cdef Py_ssize_t _HEADER_OCTETS

cdef class UwsgiEngine(SerialEngine):
    cdef bint _allowed

    cpdef receive_data(self, data, double now)
    cpdef receive_eof(self, double now)
    cpdef bint want_read(self) except -1
    @cython.locals(rules=RequestRules)
    cdef double _input_timeout(self) except -1.0
    @cython.locals(held=bytes, octets="const char *", end=Py_ssize_t)
    cdef bytes _take_packet(self, bytes data, double now, list events)
    @cython.locals(exchange=Exchange, request=Request, length="long long")
    cdef _begin(self, Variables variables, double now, list events)
    cdef _take_body(self, bytes data, double now, list events)

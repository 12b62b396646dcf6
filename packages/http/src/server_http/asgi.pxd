import cython

from server_http.events cimport Request

cdef int _PERCENT

cdef tuple HTTP_ORDER

cdef class ScopeTemplate:
    cdef dict _asgi, _extensions, _http, _trailers, _websocket
    cdef object _root_path, _server

    cpdef dict http(self, Request request, state=*)
    cpdef dict websocket(self, Request request, subprotocols, state=*)
    cdef dict _common(self, kind, info)
    cdef _fill(self, dict scope, Request request)

cdef class HttpOrder:
    cdef public int state
    cdef public bint promised

    @cython.locals(allowed=dict)
    cpdef int take(self, message) except -1

cdef class WebSocketOrder:
    cdef public int state

    cpdef int take(self, message) except -1

cpdef decoded_path(bytes path)
@cython.locals(fields=list)
cpdef list message_headers(message)
cpdef message_status(message)
cpdef message_body(message)

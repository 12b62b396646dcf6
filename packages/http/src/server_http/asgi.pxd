import cython

from server_http.events cimport Request

cdef int _PERCENT
cdef str HTTP_1_0, HTTP_1_1

cdef class ScopeTemplate:
    cdef dict _asgi, _extensions, _http, _trailers, _websocket_extensions

    @cython.locals(path=bytes)
    cpdef dict http(self, Request request, state=*)
    cpdef dict websocket(self, Request request, subprotocols, state=*)

@cython.locals(found=tuple, allowed=dict)
cpdef tuple take(tuple order, int state, message)
cpdef decoded_path(bytes path)
@cython.locals(fields=list)
cpdef list message_headers(message)
cpdef message_status(message)
cpdef message_body(message)

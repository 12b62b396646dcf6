cdef class ScopeTemplate:
    cdef dict _extensions, _http, _trailers, _websocket
    cdef object _root_path, _server

    cpdef dict http(self, request, state=*)
    cpdef dict websocket(self, request, subprotocols, state=*)
    cdef dict _common(self, kind, info)
    cdef _fill(self, dict scope, request)

cdef class HttpOrder:
    cdef public int state
    cdef public bint promised

    cpdef int take(self, message) except -1

cdef class WebSocketOrder:
    cdef public int state

    cpdef int take(self, message) except -1

cpdef decoded_path(path)
cpdef list message_headers(message)
cpdef message_body(message)

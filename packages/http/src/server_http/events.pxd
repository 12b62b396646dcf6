cimport cython
from server_http.lines cimport FieldLines

cdef class Request:
    cdef public object stream, method, target, path, query, version, scheme, authority, content_length
    cdef public FieldLines lines
    cdef object _headers
    cdef public object upgrade, protocol, script_name, client, server, priority, variables
    cdef public bint expects_continue, keep_alive, underscored
    cdef public double queued_since
    cpdef header(self, name)

cdef class RequestReceived:
    cdef public object stream, request, body
    cdef public bint complete
    @cython.locals(request=Request, persists=bint)
    cpdef tuple facts(self)

@cython.locals(event=RequestReceived)
cpdef RequestReceived request_received(stream, request, bint complete)

cdef class BodyReceived:
    cdef public object stream, data, credit

cdef class BodyEnded:
    cdef public object stream, trailers

@cython.locals(event=BodyReceived)
cpdef BodyReceived body_received(stream, data, credit)
@cython.locals(event=BodyEnded)
cpdef BodyEnded body_ended(stream, trailers)

@cython.locals(last=Py_ssize_t, part=BodyReceived, head=RequestReceived, request=Request, method=str)
cpdef bint end_body(list events, stream, trailers) except -1

cdef class Writable:
    cdef public object stream

cdef class InputEnded:
    cdef public object stream

cdef class StreamReset:
    cdef public object stream, error

cdef class StreamClosed:
    cdef public object stream, status, sent

@cython.locals(event=StreamClosed)
cpdef StreamClosed stream_closed(stream, status, sent)

cdef class Warned:
    cdef public object message, level

cdef class Handover:
    cdef public object engine

cdef class ConnectionEnded:
    cdef public object error
    cdef public bint linger, abort

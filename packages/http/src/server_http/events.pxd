cdef class Request:
    cdef public object stream, method, target, path, query, version, scheme, authority, headers, content_length
    cdef public object upgrade, protocol, script_name, client, server, priority, variables
    cdef public bint expects_continue, keep_alive
    cdef public double queued_since
    cpdef header(self, name)

cdef class RequestReceived:
    cdef public object stream, request
    cdef public bint complete

cdef class BodyReceived:
    cdef public object stream, data, credit

cdef class BodyEnded:
    cdef public object stream, trailers

cdef class Writable:
    cdef public object stream

cdef class InputEnded:
    cdef public object stream

cdef class StreamReset:
    cdef public object stream, error

cdef class StreamClosed:
    cdef public object stream, status, sent

cdef class Warned:
    cdef public object message, level

cdef class Handover:
    cdef public object engine

cdef class ConnectionEnded:
    cdef public object error
    cdef public bint linger, abort

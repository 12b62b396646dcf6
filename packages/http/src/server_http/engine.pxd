cdef class FileRegion:
    cdef public object fd, offset, count

cdef class ConnectionInfo:
    cdef public object client, peer, tls, alpn, proxy
    cdef public tuple server
    cdef public bint draining

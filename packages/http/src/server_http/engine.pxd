cdef class FileRegion:
    cdef public object fd, offset, count

cdef class ConnectionInfo:
    cdef public object client, peer, tls, proxy
    cdef public str alpn
    cdef public tuple server
    cdef public bint draining

    cpdef str scheme(self)

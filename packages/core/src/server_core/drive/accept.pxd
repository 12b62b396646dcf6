cimport cython
from server_core.drive.clientsocket cimport accept

cdef class Door:
    cdef public object listener, sock, server
    cdef public int fd, family
    cdef bint _is_unix, _nodelay

    cpdef admit(self, sock, address)
    cpdef list take(self, long long count, double now)
    cpdef fail(self, error, double now)

cdef class Acceptor(Door):
    cdef public double muted_until
    cdef object _poller, _log
    cdef bint _shared, _declined

    cpdef list accept(self, double now, long long room, bint busy, long long own, long long fewest)
    cpdef mute(self, double until)
    cpdef bint unmute(self, double now) except -1

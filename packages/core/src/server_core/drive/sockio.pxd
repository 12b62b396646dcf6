cimport cython
cdef extern from "sys/socket.h" nogil:
    ssize_t c_recv "recv"(int fd, void *buffer, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void *buffer, size_t size, int flags)

from libc.errno cimport EAGAIN, EINTR, errno

cdef char[65536] BUFFER
cdef object FileRegion
cdef int LOCKED_OCTETS, _DONTWAIT, _SEND_FLAGS, _MORE

cpdef receive(sock, int fd)
@cython.locals(count="long long", more=int)
cpdef long long transmit(sock, int fd, list segments, bint use_sendfile, bint parting=*) except? -2
cdef long long _send_locked(int fd, bytes data, int more) except? -2

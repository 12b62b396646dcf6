cdef extern from "sys/socket.h" nogil:
    ssize_t c_recv "recv"(int fd, void *buffer, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void *buffer, size_t size, int flags)

from libc.errno cimport EAGAIN, EINTR, errno

cdef char[65536] BUFFER

cpdef receive(sock, int fd)
cpdef long long transmit(sock, int fd, list segments, bint use_sendfile) except? -2

import cython
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.math cimport ceil
from server_core.drive.clock cimport clock_seconds, monotonic

cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>

    struct report { int fd; unsigned int flags; };

    #ifdef __linux__
    #include <sys/epoll.h>

    static int epoll_reports(int fd, struct report *reports, int most, int milliseconds)
    {
        struct epoll_event events[256];
        int count, i;
        count = epoll_wait(fd, events, most < 256 ? most : 256, milliseconds);
        for (i = 0; i < count; i++) {
            reports[i].fd = events[i].data.fd;
            reports[i].flags = events[i].events;
        }
        return count;
    }
    #else
    static int epoll_reports(int fd, struct report *reports, int most, int milliseconds)
    {
        errno = ENOSYS;
        return -1;
    }
    #endif
    """
    struct report:
        int fd
        unsigned int flags
    int epoll_reports(int fd, report *reports, int most, int milliseconds) nogil


cdef int MAX_EVENTS

cdef class EpollPoller:
    cdef object _epoll
    cdef int _fd
    cdef unsigned int _stream_mask
    cdef public double woke
    cdef public bint full
    cdef report[256] _reports

    cpdef list wait(self, double seconds)
    @cython.locals(index=int, count=int, problem=int, milliseconds=int)
    cdef list _wait(self, double seconds)

cdef unsigned int _mask(unsigned int flags) noexcept

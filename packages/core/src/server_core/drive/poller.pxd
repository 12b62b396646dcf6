import cython

cdef class EpollPoller:
    cdef object _epoll
    cdef unsigned int _stream_mask

    @cython.locals(fd=int, flags="unsigned int", mask="unsigned int", ready=list)
    cpdef list wait(self, double seconds)

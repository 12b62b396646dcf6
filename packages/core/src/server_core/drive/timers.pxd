cdef class TimerWheel:
    cdef dict _buckets
    cdef list _ticks
    cpdef arm(self, item, double deadline)
    cpdef bint earlier(self, item, double deadline) except -1
    cpdef list due(self, double now)
    cpdef deadline(self)

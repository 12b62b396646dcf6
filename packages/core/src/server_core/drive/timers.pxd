cdef class TimerWheel:
    cdef dict _buckets
    cdef list _ticks
    cpdef arm(self, item, double deadline)
    cpdef disarm(self, item)
    cpdef list due(self, double now)
    cpdef deadline(self)

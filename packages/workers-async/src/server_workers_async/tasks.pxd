cdef class TaskStarter:
    cdef public object start
    cdef public bint separable
    cdef object _loop
    cdef tuple _kept
    cdef list _others

    cpdef separate(self, coroutine)

cdef class TaskStarter:
    cdef public object start
    cdef object _loop
    cdef tuple _kept
    cdef list _others

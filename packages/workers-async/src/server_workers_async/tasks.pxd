cdef class TaskStarter:
    cdef public object start
    cdef object _loop
    cdef list _kept

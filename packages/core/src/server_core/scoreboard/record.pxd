cdef class RunningTable:
    cdef public list free
    cdef public object octets
    cdef public unsigned long long[::1] cells

cdef class ThreadRecord:
    cdef public unsigned long long[::1] cells
    cdef public double[::1] floats
    cdef public RunningTable table

    cpdef long begin(self, method, target, double now, double waited=*) except -2
    cpdef finish(self, long entry, long status, long long sent, double began, double now)
    cpdef shed(self)
    cpdef count(self, Py_ssize_t counter, unsigned long long n=*)

cpdef Py_ssize_t latency_bucket(double seconds) except -1

# Numbers of the layout as C integers; a look-up in the module's dict would cost more than the addition.
cdef Py_ssize_t BEGAN, SENT, SECONDS, OVERFLOW, STATUS, STATUS_CLASSES, LATENCY, LATENCY_BUCKETS, QUEUE, QUEUED_SECONDS
cdef Py_ssize_t ENTRY_CELLS, ENTRY_SEQUENCE, SHED
cdef double _FIRST_BOUND

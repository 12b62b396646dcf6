import cython
from libc.string cimport memcpy

cdef class RunningTable:
    cdef public list free
    cdef public unsigned char[::1] octets
    cdef public unsigned long long[::1] cells

    @cython.locals(body="unsigned char *", length=cython.Py_ssize_t)
    cdef write(self, Py_ssize_t entry, double now, bytes prefix, bytes target)

cdef class ThreadRecord:
    cdef public unsigned long long[::1] cells
    cdef public double[::1] floats
    cdef public RunningTable table

    @cython.locals(cells="unsigned long long[::1]", entry=cython.long, table=RunningTable, prefix=bytes)
    cpdef long begin(self, method, target, double now, double waited=*) except -2
    @cython.locals(cells="unsigned long long[::1]", table=RunningTable, seconds=cython.double)
    cpdef finish(self, long entry, long status, long long sent, double began, double now)
    cpdef shed(self)
    cpdef count(self, Py_ssize_t counter, unsigned long long n=*)

@cython.locals(index=cython.Py_ssize_t)
cpdef Py_ssize_t latency_bucket(double seconds) except -1

# Numbers of the layout as C integers; a look-up in the module's dict would cost more than the addition.
cdef Py_ssize_t BEGAN, SENT, SECONDS, OVERFLOW, STATUS, STATUS_CLASSES, LATENCY, LATENCY_BUCKETS, QUEUE, QUEUED_SECONDS
cdef Py_ssize_t SHED
cdef double _FIRST_BOUND
cdef Py_ssize_t _CELL, _BODY_OFFSET, _TEXT, _TEXT_OFFSET
cdef double[::1] _BOUNDS
cdef const unsigned char[::1] STATUS_CELL
cdef dict _METHOD_PREFIXES

from server_core.drive.arrival cimport Arrivals
from server_core.drive.timers cimport TimerWheel

cdef class Duties:
    cdef public object worker, log, gateway, openers, record, limits, budget, gate
    cdef public Arrivals arrivals
    cdef public long long body_buffer, body_spool, response_spool, worker_connections
    cdef public bint use_sendfile, shared
    cdef public TimerWheel wheel
    cdef public double next_tick
    cdef list _roomless
    cdef bint _logs_access

    cpdef tick(self, double now)

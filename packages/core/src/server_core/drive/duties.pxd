from server_core.drive.arrival cimport Arrivals
from server_core.drive.channel cimport Channel
from server_core.drive.session cimport Session
from server_core.drive.timers cimport TimerWheel
from server_core.scoreboard.record cimport ThreadRecord

cdef class Duties:
    cdef public object worker, log, gateway, openers, limits, budget, gate
    cdef public ThreadRecord record
    cdef public Arrivals arrivals
    cdef public long long body_buffer, body_spool, response_spool, worker_connections, high_water, low_water
    cdef public bint use_sendfile, shared, rearms
    cdef public TimerWheel wheel
    cdef public double next_tick, patience
    cdef list _roomless
    cdef bint _logs_access

    cpdef tick(self, double now)
    cpdef submit(self, Channel channel)
    cpdef post(self, Session session)
    cpdef forget(self, Session session)
    cpdef closed(self, Channel channel, event, double now)
    cpdef received(self, long long octets)

from server_workers_async.lanes cimport Lanes
from server_workers_async.outbox cimport Outbox
from server_workers_async.stream cimport Stream

cdef class Service:
    cdef public object worker, app, loop, log, state, root_path, grace_period, wheel, notice, record, access, ids, arrivals, gate
    cdef public object context, pre_request, post_request, on_idle
    cdef public Lanes lanes
    cdef public Outbox outbox
    cdef public long long served, max_requests
    cdef public double request_timeout
    cdef public dict extensions
    cdef dict _templates
    cdef public set connections, watched, tasks
    cdef public bint half_close_disconnects, sendfile, draining, ending, hooked, log_awaited

    cpdef count(self, Stream channel)
    cpdef ended(self, Stream channel, event, double now)
    cdef _log(self, request, response, double seconds)

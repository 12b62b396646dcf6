import cython
from server_core.drive.channel cimport Channel

cdef class Gateway:
    cdef public object app, worker, log, pre_request, post_request, access_log, errors, software, ids, gate
    cdef public bint multithread, multiprocess, logs_access, debug
    cdef object _log_lock
    cdef dict _listeners

    @cython.locals(began=cython.double, waited=cython.double)
    cpdef run(self, Channel channel, record)
    cdef _send(self, Channel channel, start, result)
    cdef _send_whole(self, Channel channel, start, parts)
    cdef bint _send_file(self, Channel channel, start, wrapper) except -1
    cdef _close(self, Channel channel, result)
    cdef dict _environ(self, Channel channel, start)
    cpdef closed(self, Channel channel, sent, double now)

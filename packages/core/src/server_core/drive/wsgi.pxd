import cython
from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit
from server_core.drive.clock cimport monotonic
from server_core.drive.channel cimport Channel
from server_core.drive.session cimport Session
from server_core.scoreboard.record cimport ThreadRecord

# Imported names as C variables; see ``session.pxd``.
cdef str HTTP_2
cdef object BytesIO, EARLY_HINTS, INPUT, FileWrapper, StartResponse, StreamedBody, request_environ

cdef class Gateway:
    cdef public object app, worker, log, pre_request, post_request, access_log, errors, software, ids, gate
    cdef public bint multithread, multiprocess, logs_access, debug
    cdef public long long served, max_requests
    cdef object _log_lock
    cdef dict _listeners

    @cython.locals(began=cython.double, ended=cython.double, waited=cython.double)
    cpdef double run(self, Channel channel, ThreadRecord record) except? -1
    cpdef count(self)
    cdef _serve_apart(self, Channel channel, ThreadRecord record)
    cdef _serve(self, Channel channel, ThreadRecord record)
    cdef _send(self, Channel channel, start, result)
    @cython.locals(size="long long")
    cdef _send_whole(self, Channel channel, start, parts)
    cdef bint _send_file(self, Channel channel, start, wrapper) except -1
    cdef _close(self, Channel channel, result)
    @cython.locals(session=Session, environ=dict, connection=dict, whole=bint)
    cdef dict _environ(self, Channel channel, start)
    @cython.locals(listener=dict)
    cdef dict _connection_environ(self, Session session)
    cpdef closed(self, Channel channel, sent, double now)

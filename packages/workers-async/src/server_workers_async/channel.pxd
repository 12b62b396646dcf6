import cython

from server_workers_async.stream cimport Stream

cdef int HEAD, LAST_BODY, FILE, INFORM, LAST_TRAILERS, COMPLETE, EXPECTING
cdef object HTTP_ORDER, take

cdef class HttpChannel(Stream):
    cdef public object _head, _trailers
    cdef public list _chunks
    cdef public bint body_ended, responded, handed_over
    cdef public int _file, _state

    cdef _send_head(self, double now, body=*)
    cdef _send_body(self, message, bint complete, double now)
    cdef _leave_request(self)
    cdef _send_file(self, message, bint complete, double now)
    cdef _send_trailers(self, message, bint last, double now)
    cdef _end(self, double now, trailers)
    cdef _discard(self)
    cpdef on_body(self, data, credit)
    cpdef on_body_end(self)
    cpdef on_disconnect(self, double now)
    cpdef on_lost(self, double now)
    cpdef on_writable(self)
    cpdef on_closed(self)
    cpdef doom(self, double now)
    cpdef on_timer(self, double now)
    cpdef cancel(self)
    cpdef on_returned(self)
    cpdef fail(self, complaint)
    cdef dict _body_message(self)
    cdef _give_credit(self)
    cdef _invite(self)

@cython.locals(channel=HttpChannel)
cpdef HttpChannel http_channel(session, engine, request, bint complete, body, double now, double waited)

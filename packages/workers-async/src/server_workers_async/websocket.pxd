from server_workers_async.stream cimport Stream

cdef class WebSocketChannel(Stream):
    cdef public object _limits, _handshake, _ws, _messages, _over, _unread
    cdef public bint open
    cdef bint _input_ended
    cdef long long _waiting
    cdef int _state

    cpdef on_body(self, data, credit)
    cdef _take(self, list messages, double now)
    cdef bint _is_behind(self) except -1
    cdef _read_on(self, double now)
    cdef _give_credit(self)

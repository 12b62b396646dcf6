from server_workers_async.stream cimport Stream

cdef class WebSocketChannel(Stream):
    cdef public object _limits, _handshake, _ws, _messages, _over
    cdef public bint open
    cdef int _state

    cpdef on_body(self, data, credit)
    cdef _take(self, list messages, double now)
    cdef _give_credit(self)

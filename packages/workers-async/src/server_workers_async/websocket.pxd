from server_workers_async.stream cimport Stream

cdef class WebSocketChannel(Stream):
    cdef public object _limits, _order, _handshake, _ws, _messages, _over

    cpdef on_body(self, data, credit)
    cdef _take(self, list messages, double now)
    cdef _give_credit(self)

from server_workers_async.service cimport Service

cdef class WebSocketChannel:
    cdef public Service service
    cdef public object session, engine, request, stream, scope, task, entry, status, headers, sent, view
    cdef public object _limits, _order, _handshake, _ws, _messages, _over, _readers, _writers, armed
    cdef public double began, doomed_at, waited
    cdef public bint finished, lost, gone, open
    cdef public long long _credit

    cpdef on_body(self, data, credit)
    cdef _take(self, list messages, double now)
    cdef _give_credit(self)
    cdef _wake_readers(self)
    cdef _wake_writers(self)

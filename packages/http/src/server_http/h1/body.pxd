cdef class ChunkedBody:
    cdef public int state
    cdef public long long received
    cdef public object trailers
    cdef object _limits
    cdef bytes _line
    cdef long long _overhead, _remaining

    cpdef Py_ssize_t feed(self, bytes data, Py_ssize_t at, list parts) except -1
    cdef Py_ssize_t _take_data(self, bytes data, Py_ssize_t at, Py_ssize_t size, list parts) except -1
    cdef Py_ssize_t _take_data_end(self, bytes data, Py_ssize_t at, Py_ssize_t size) except -1
    cdef Py_ssize_t _take_size(self, bytes data, Py_ssize_t at, Py_ssize_t size) except -1
    cdef Py_ssize_t _take_split_size(self, bytes data, Py_ssize_t at, Py_ssize_t limit) except -1
    cdef _start_chunk(self, bytes line)
    cdef Py_ssize_t _take_trailers(self, bytes data, Py_ssize_t at) except -1
    cdef _read_trailers(self, bytes section)
    cdef _count(self, long long octets)

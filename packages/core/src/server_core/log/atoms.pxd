import cython

cpdef bytes _specials(bytes octets)

cdef class LineFormat:
    cdef list _getters, _conversions, _parts
    cdef bytes _specials
    cdef bint _uses_fields

    @cython.locals(parts=list, place="Py_ssize_t", number="Py_ssize_t")
    cdef bytes _line(self, list values)

import cython

@cython.locals(item=tuple)
cpdef bint has_one_of(list headers, frozenset names) except -1

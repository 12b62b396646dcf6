import cython
from server_core.drive.body cimport CollectedBody
from server_core.drive.channel cimport Channel
from server_core.drive.duties cimport Duties
from server_core.drive.session cimport Session

cdef int NO_ROOM, TAKEN, TOO_LARGE
cdef object StreamedBody

@cython.locals(driver=Duties)
cpdef begin_body(Channel channel, bint complete, body, double now)
@cython.locals(driver=Duties, size=Py_ssize_t)
cdef bint _is_kept(Channel channel, bytes body) except -1
@cython.locals(session=Session, driver=Duties)
cdef _collect(Channel channel, double now)
@cython.locals(session=Session, collected=CollectedBody, outcome=cython.int)
cpdef take_part(Channel channel, data, long long credit, double now)
cpdef bint place_parts(Channel channel) except -1
cpdef end_body(Channel channel)
cdef _complete(Channel channel)
cpdef refuse(Channel channel, int status, double now)

from server_http.engine cimport ConnectionInfo
from server_http.h1.engine cimport Http1Engine

cpdef open_http(ConnectionInfo info, config, double now)

# What the type checker sees of ``import cython``: the names of server_http._cython, the shim.
from server_http._cython import *  # noqa: F403 - all names of the shim
from server_http._cython import compiled as compiled

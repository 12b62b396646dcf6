"""The applications that the lifecycle tests serve."""

# Answers with its process id; ?sleep=S takes S seconds, ?spin=1 never returns.
PID_APP = """
import os, time
def app(environ, start_response):
    query = environ.get("QUERY_STRING", "")
    if query.startswith("sleep="):
        time.sleep(float(query[6:]))
    while query == "spin=1":
        pass
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Pid", str(os.getpid()))])
    return [body]
"""

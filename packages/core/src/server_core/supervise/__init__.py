"""Supervision: what becomes of the server's processes.

``state.step`` decides, ``arbiter.Arbiter`` does.
"""

"""The phases of a connection, the same for every driver.

Owns: the numbers, and what they mean.
Must not know: who moves a connection from one phase to the next (the sessions).
"""

OPEN = 0
CLOSING = 1  # no more input is taken; what is unsent goes out
LINGERING = 2  # our side is shut down; input is discarded so that no reset destroys the answer
BROKEN = 3  # nothing can be said or heard any more
CLOSED = 4

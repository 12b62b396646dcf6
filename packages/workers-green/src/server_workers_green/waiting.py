"""Where the greenlets of a process stand.

Owns: finding them.
Must not know: gevent and eventlet, requests.
"""

from __future__ import annotations

import gc
from typing import Any, Dict, List

from server_core.stacks import Stack, frame_line, frames_from


def stacks_of_greenlets(requests: Dict[Any, str], hub: Any) -> List[Stack]:
    """Return where the greenlets stand, but the one that runs, which has a thread, and the loop's.

    Args:
        requests: greenlets that answer requests, with the request; they come first, in this order.
        hub: the greenlet of the loop.
    """
    from greenlet import greenlet  # type: ignore[import-untyped, unused-ignore]  # has no stubs

    # The type is asked, and not the object, which may be a proxy that answers for another.
    others = [each for each in gc.get_objects() if issubclass(type(each), greenlet) and each not in requests]
    return [
        Stack(requests.get(each) or "greenlet", tuple(map(frame_line, frames_from(each.gr_frame))))
        for each in (*requests, *others)
        if each is not hub and each.gr_frame is not None
    ]

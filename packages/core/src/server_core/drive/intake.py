"""How the body of a request reaches its application: whole as it came, collected first, or streamed.

Owns: which of the three it is, when the application is started for it, and what becomes of a body that is too large
or finds no room. Everything here runs under the turn of the channel's session.
Must not know: sockets, deadlines, the end of connections.
"""

from __future__ import annotations

from typing import Any

from server_core.drive.body import NO_ROOM, TAKEN, TOO_LARGE, CollectedBody, StreamedBody


def begin_body(channel: Any, complete: bool, body: Any, now: float) -> None:
    """Decide how the body of a request that has one is taken, and start the application as soon as that allows.

    Args:
        channel: of the request.
        complete: nothing of the request is still to come: the body is here.
        body: the body, if it came whole with its head, else None.
        now: monotonic seconds.
    """
    driver = channel.session.driver
    if complete and _is_kept(channel, body):
        driver.submit(channel)
        return
    if driver.streams(channel):
        channel.body = StreamedBody()
        driver.submit(channel)
    elif channel.method == "CONNECT":
        driver.submit(channel)  # what comes is the tunnel's, and comes when the application has opened it
    else:
        _collect(channel, now)
    if body is not None:
        take_part(channel, body, 0, now)
        end_body(channel)


def _is_kept(channel: Any, body: bytes) -> bool:
    """Keep a body that came whole with its head as it is, if it is small enough for that."""
    driver = channel.session.driver
    size = len(body)
    if size > driver.body_buffer or 0 < driver.body_spool < size:
        return False
    driver.received(size)
    channel.body = body
    return True


def _collect(channel: Any, now: float) -> None:
    """Take the body on the application's behalf, so that a slow client holds no thread."""
    session = channel.session
    driver = session.driver
    length = channel.request.content_length
    if driver.body_spool and length is not None and length > driver.body_spool:
        refuse(channel, 413, now)
        return
    channel.body = CollectedBody(driver.body_buffer, driver.body_spool, driver.budget)
    channel.collecting = True
    if channel.request.expects_continue:
        session.engine.inform(channel.stream, 100, [], now)


def take_part(channel: Any, data: bytes, credit: int, now: float) -> None:
    """Take a part of a body, for which ``credit`` is to be given back to the engine."""
    session = channel.session
    if channel.finished or channel.lost or channel.body is None:  # None: nobody reads a tunnel
        session.engine.consumed(channel.stream, credit)
        return
    session.driver.received(len(data))
    if not channel.collecting:
        channel.body.write(data, credit)
        channel.readable()
        return
    if channel.unplaced is not None:
        channel.unplaced.append(data)
        channel.owed += credit
        return
    collected: CollectedBody = channel.body
    outcome = collected.write(data)
    if outcome == NO_ROOM:
        # The credit is kept back, so the engine soon stops reading; ``place_parts`` goes on when there is room.
        channel.unplaced = [data]
        channel.owed = credit
        session.driver.wants_room(channel, now)
        return
    session.engine.consumed(channel.stream, credit)
    if outcome == TOO_LARGE:
        refuse(channel, 413, now)


def place_parts(channel: Any) -> bool:
    """Try again to find room for what waits of a body; returns whether it was found."""
    while channel.unplaced:
        part = channel.unplaced[0]
        if part is None:  # the end of the body had come already
            _complete(channel)
        elif channel.body.write(part) != TAKEN:
            return False
        del channel.unplaced[0]
    channel.unplaced = None
    channel.session.engine.consumed(channel.stream, channel.owed)
    channel.owed = 0
    return True


def end_body(channel: Any) -> None:
    """The body is complete."""
    if channel.finished or channel.lost or channel.body is None:
        return
    if not channel.collecting:
        channel.body.ended = True
        channel.readable()
    elif channel.unplaced is None:
        _complete(channel)
    else:
        channel.unplaced.append(None)


def _complete(channel: Any) -> None:
    channel.collecting = False
    channel.arrived = channel.session.arrived
    channel.session.driver.submit(channel)


def refuse(channel: Any, status: int, now: float) -> None:
    """Answer without the application; the access log has a line of it. The caller flushes."""
    channel.collecting = False
    channel.began = now
    channel.session.driver.refused(channel, status)
    channel.give_up(status, now)
    channel.done()

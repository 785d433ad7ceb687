"""Do the counters of a transfer fit together? They come from three places that share nothing."""

from __future__ import annotations

from zrwizard.run.events import Doubt

STREAM, NETWORK, POOL = "stream", "network", "pool"

_OVERHEAD = 0.1
"""What TCP/IP (5 % with frames of 1,500 bytes), ssh, and what is sent twice add at most."""
_PADDING = 0.3
"""What a pool may hold above the stream: small blocks filled up to its sector size, metadata."""
_FLIGHT = 15.0
"""Seconds of bytes that may be on their way: buffers, the pool's next write, rows once a second."""
_LEAST = 8 << 20
"""Bytes below which a difference means nothing."""


def doubts(
    *, sent: int | None, network: int | None, grown: int | None, sent_meanwhile: int, fastest: float
) -> tuple[Doubt, ...]:
    """Return where the counters differ by more than they may.

    `sent` are the stream's bytes and `network` those that the network card received since the
    start; `grown` is the growth of the pool in the time in which the stream moved by
    `sent_meanwhile`; None where unknown. `fastest` is the highest rate, in bytes a second.

    A pool that holds less than the stream is not in doubt: it compresses.
    """
    if sent is None:
        return ()
    slack = _LEAST + fastest * _FLIGHT
    found: list[Doubt] = []
    if network is not None:
        found += _beyond(NETWORK, STREAM, network - sent * (1 + _OVERHEAD) - slack)
        found += _beyond(STREAM, NETWORK, sent - network - slack)
    if grown is not None:
        found += _beyond(POOL, STREAM, grown - sent_meanwhile * (1 + _PADDING) - slack)
    return tuple(found)


def _beyond(more: str, less: str, excess: float) -> list[Doubt]:
    return [Doubt(more, less, int(excess))] if excess >= 1 else []


def sentence(doubt: Doubt, amount: str) -> str:
    """Return the doubt for people, with its bytes as `amount`, and what is likely behind it."""
    if doubt.more == NETWORK:
        return f"The network card counted {amount} more than the stream: other traffic, too."
    if doubt.less == NETWORK:
        return f"The network card missed {amount} of the stream: it came another way as well."
    return f"The pool grew {amount} more than was sent: something else writes to it."

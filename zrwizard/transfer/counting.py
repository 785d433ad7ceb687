"""One look at a transfer and the logs so far become a sample, in the bytes of the stream."""

from __future__ import annotations

from collections.abc import Sequence

from zrwizard.freebsd.zfs_receive import ReceiveLog
from zrwizard.freebsd.zfs_send_progress import SendLog
from zrwizard.mover import Phase, State
from zrwizard.plan import Share, Transfer
from zrwizard.transfer.poll import Look
from zrwizard.transfer.progress import Part, Sample


def sample(at: float, look: Look, sent: SendLog, received: ReceiveLog, action: Transfer) -> Sample:
    """Return what is known of `action` at the monotonic time `at`, in seconds.

    The sender tells each second how much of a snapshot went out, the receiver how much a finished
    one was. A snapshot of less than a second is told by the receiver only, and one whose end is
    on its way by the sender only: neither count is too high, so the higher one is taken.
    """
    shares = action.shares
    if look.state is not None and action.lanes > 1:
        return _of_lanes(at, look, look.state, len(shares))
    if look.state is not None:
        return _of_mover(at, look, look.state, shares)
    present = received.current
    begun = sent.bytes if present is not None and present.source == sent.snapshot else 0
    total = max(sent.total, received.bytes + begun)
    return Sample(
        at,
        net=look.net,
        used=look.used,
        sent=total or None,
        finished=len(received.finished),
        current=present.target if present is not None else "",
        part=_part(received, begun, shares),
    )


def _of_mover(at: float, look: Look, state: State, shares: Sequence[Share]) -> Sample:
    """Return what the mover tells: its bytes are the sender's, and what was there before counts.

    With each dataset that is finished its real size takes the place of the estimated one.
    """
    own = state.had + state.sent
    here = shares[state.number - 1] if 0 < state.number <= len(shares) else Share("", 0)
    ended = state.phase is Phase.ENDED
    later = sum(share.size for share in shares[state.number :])
    return Sample(
        at,
        net=look.net,
        used=look.used,
        sent=state.finished + own,
        finished=len(shares) if ended and look.rc == 0 else max(0, state.number - 1),
        current=here.name if state.phase is Phase.SENDING else "",
        part=Part(here.name, state.number, own, max(here.size, own)) if here.name else None,
        estimate=state.finished + (0 if ended else max(own, here.size) + later),
        paused=state.phase is Phase.PAUSED,
    )


def _of_lanes(at: float, look: Look, state: State, count: int) -> Sample:
    """Return what lanes tell: sums of streams side by side, of which no dataset's part is known."""
    ended = state.phase is Phase.ENDED
    return Sample(
        at,
        net=look.net,
        used=look.used,
        sent=state.finished + state.had + state.sent,
        finished=count if ended and look.rc == 0 else max(0, state.number - 1),
        current=state.target if state.phase is Phase.SENDING else "",
        paused=state.phase is Phase.PAUSED,
    )


def _part(received: ReceiveLog, begun: int, shares: Sequence[Share]) -> Part | None:
    """Return the dataset of the stream that is received, or was received last."""
    stream = received.current or (received.finished[-1].stream if received.finished else None)
    if stream is None:
        return None
    name = _dataset(stream.target)
    place = next((n for n, share in enumerate(shares, 1) if share.name == name), 0)
    if not place:
        return None
    count = begun
    for done in reversed(received.finished):
        # Streams of one dataset follow each other.
        if _dataset(done.stream.target) != name:
            break
        count += done.bytes
    reached = {_dataset(done.stream.target) for done in received.finished} | {name}
    return Part(name, len(reached), count, shares[place - 1].size)


def _dataset(snapshot: str) -> str:
    return snapshot.partition("@")[0]

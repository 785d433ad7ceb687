"""Ways in which a transfer is cut, each really done to the machines; afterwards it goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from zrwizard.mover import Phase

from .knox import unplugged
from .moving import HOME, Move

POOLS = "kldload -n zfs; zpool import -a -N -f -d /dev"
Wound = Callable[[Move], None]


def killed(side: str, pattern: str) -> Wound:
    """kill -9 of what runs on `side` with that in its command line."""

    def wound(move: Move) -> None:
        guest = move.pair.server if side == "server" else move.pair.target
        guest.run(f"pkill -KILL -f '{pattern}'")

    return wound


def mover_killed(move: Move) -> None:
    """kill -9 of the mover, as the kernel does when memory is short; it is started again."""
    move.pair.target.run(f"kill -KILL $(cat {HOME}/m/pid)")
    move.ended()
    move.start()


def mover_ended(move: Move) -> None:
    """The mover is told to stop, and started again."""
    move.pair.target.run(f"kill $(cat {HOME}/m/pid)")
    assert move.ended() == 18
    move.start()


def cable_out(seconds: float) -> Wound:
    """The server's network cable is out for so long (QEMU's set_link)."""

    def wound(move: Move) -> None:
        with unplugged(move.pair.server):
            time.sleep(seconds)

    return wound


def server_off(move: Move) -> None:
    """The server loses its power, and starts again."""
    move.pair.restart_server().run(POOLS)


def target_off(move: Move) -> None:
    """The target loses its power; what lay in its memory is gone."""
    move.pair.reset_target(blank=False)
    move.pair.target.run(POOLS)
    move.prepare()
    move.start()


def paused(move: Move) -> None:
    """A pause, and on."""
    move.pair.target.run(f": > {HOME}/m/pause")
    move.until(lambda state: state.phase is Phase.PAUSED)
    move.pair.target.run(f"rm {HOME}/m/pause")


WOUNDS: dict[str, Wound] = {
    "ssh killed": killed("target", "^ssh .*zfs send"),
    "master killed": killed("target", "ssh.*ControlMaster=auto"),
    "sshd killed": killed("server", "sshd: root@notty"),
    "zfs send killed": killed("server", "^[^ ]*zfs send"),
    "zfs receive killed": killed("target", "^[^ ]*zfs receive"),
    "cable out 3 s": cable_out(3),
    "cable out 15 s": cable_out(15),
    "server power-cycled": server_off,
    "target power-cycled": target_off,
    "mover killed": mover_killed,
    "mover ended": mover_ended,
    "paused": paused,
}


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut: how far its stream was, what of that was sent again, and until it went on."""

    kind: str
    there: int
    again: int
    seconds: float

    @property
    def row(self) -> str:
        """A row of the table in docs/transfers.md."""
        there, again = self.there / 1e6, self.again / 1e6
        return f"| {self.kind} | {there:.1f} | {again:.2f} | {self.seconds:.0f} |"


def cut(move: Move, kind: str, after: int) -> Cut:
    """Let `after` bytes of a stream come, cut it so, and wait until it sends again."""
    before = move.until(lambda s: s.phase is Phase.SENDING and s.sent >= after)
    begun = streams(move.log)
    there = begun[-1] + before.sent
    began = time.monotonic()
    WOUNDS[kind](move)
    move.until(lambda s: s.phase is Phase.SENDING and s.at > before.at + 1)
    now = streams(move.log)
    # A target that lost its power lost the log, too.
    broken = len(now) != len(begun)
    again = max(0, there - now[-1]) if broken else 0
    return Cut(kind, there, again, time.monotonic() - began)


def streams(log: str) -> list[int]:
    """What had come before of each stream that the log tells of, in bytes."""
    row = r"Dataset \d+ of \d+: (?:.* goes on; (\d+) bytes of its stream are there\.|.*@.* to .*)"
    return [int(had or 0) for had in re.findall(row, log)]

"""The mover in the guests, driven as the wizard drives it but beside the console: hostC pulls from
hostB, or pushes to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from zrwizard import mover
from zrwizard.freebsd import inventory, ssh
from zrwizard.freebsd.inventory import Inventory
from zrwizard.mover import Direction, Phase, State
from zrwizard.transfer.forest import Decomposition, decompose

from .conftest import SERVER_ADDRESS, Pair
from .forests import LAST
from .machines import Guest

HOME = "/tmp/zr-mover"
NETWORK = "ifconfig vtnet0 inet 10.99.0.3/24 up"
SESSION = ssh.Session(SERVER_ADDRESS, 22, "root", HOME, identity=True)


def listing(guest: Guest, root: str) -> Inventory:
    """The inventory of what lies below `root`."""
    return inventory.parse(guest.lines(inventory.command(root), timeout=120))


@dataclass
class Move:
    """One transfer of a tree, by a mover on hostC."""

    pair: Pair
    made: Decomposition
    direction: Direction
    limit: int = 0
    received: bool = False
    """Whether the tree came to the sending side with properties, which are those that count."""

    @classmethod
    def of(cls, pair: Pair, root: str, target: str, direction: Direction, limit: int = 0) -> Move:
        """The transfer of `root` to `target`, of all its history."""
        sender = pair.server if direction is Direction.PULL else pair.target
        made = decompose(listing(sender, root), root, LAST, target)
        came = sender.lines(inventory.was_received(root), timeout=120)
        return cls(pair, made, direction, limit, came == ["received"])

    @property
    def total(self) -> int:
        """The planned bytes."""
        return sum(stream.size for stream in self.made.streams)

    def prepare(self) -> None:
        """Put network, login and the mover's files on hostC, as after each start of it."""
        target, image = self.pair.target, self.pair.image
        target.run(f"{NETWORK}; mkdir -p {HOME}/m")
        host_key = " ".join(image.host_key.read_text().split()[:2])
        for name, data in (
            ("id", image.key.read_bytes()),
            ("known_hosts", f"{SERVER_ADDRESS} {host_key}\n".encode()),
            ("ssh_config", ssh.config(SESSION).encode()),
            ("m/mover.sh", mover.SCRIPT.encode()),
            ("m/list", mover.listing(self.made.streams, self.made.renames).encode()),
            ("m/settings", self._settings().encode()),
        ):
            target.put(f"{HOME}/{name}", data, "600")

    def _settings(self) -> str:
        return mover.settings(
            direction=self.direction,
            ssh=ssh.words(SESSION),
            host=ssh.ALIAS,
            shared=True,
            received=self.received,
            limit=self.limit,
            patience=240,
            idle=4,
            stall=60,
            probe=6,
            grace=3,
            longest=40,
        )

    def start(self) -> None:
        """Log in where nobody is, and start the mover, which goes on by itself."""
        self.pair.target.run(
            f"cd {HOME}; {ssh.check(SESSION)} 2>/dev/null || {ssh.login(SESSION)} 2>/dev/null; "
            f"rm -f m/rc m/state; setsid sh -c 'sh m/mover.sh {HOME}/m & echo $! >m/pid; "
            "wait $!; echo $? >m/rc' >/dev/null 2>&1 </dev/null &",
            timeout=60,
        )

    def state(self) -> State | None:
        """What the mover says now; None where it says nothing yet."""
        out = self.pair.target.run(f"cat {HOME}/m/state", check=False).out
        return mover.parse_state(out) if out else None

    @property
    def log(self) -> str:
        """Its log so far."""
        return self.pair.target.out(f"cat {HOME}/m/log")

    def status(self) -> int | None:
        """Its exit status, once it has ended."""
        said = self.pair.target.run(f"cat {HOME}/m/rc", check=False).out.strip()
        return int(said) if said else None

    def until(self, ready: Callable[[State], bool], seconds: float = 240) -> State:
        """Wait for a state; fails where the mover ends before it."""
        end = time.monotonic() + seconds
        while True:
            state = self.state()
            if state is not None and ready(state):
                return state
            assert state is None or state.phase is not Phase.ENDED, f"ended: {self.log[-3000:]}"
            assert time.monotonic() < end, f"{state}: {self.log[-3000:]}"
            time.sleep(0.3)

    def ended(self, seconds: float = 400) -> int:
        """Wait for its end; its exit status."""
        end = time.monotonic() + seconds
        while (status := self.status()) is None:
            assert time.monotonic() < end, f"{self.state()}: {self.log[-3000:]}{self.waiting()}"
            time.sleep(0.3)
        return status

    def waiting(self) -> str:
        """What runs on both machines for a transfer, and in which call of the kernel it waits."""
        look = (
            "cd /proc; for p in [0-9]*; do c=$(tr '\\0' ' ' <$p/cmdline); "
            'case $c in *zfs*|*ssh*|*mover*) echo "$p $c"; head -n 8 $p/stack ;; esac; done'
        )
        machines = self.pair.server, self.pair.target
        return "".join(f"\n{m.machine.name}\n{m.run(look, check=False).out}" for m in machines)

    def wait(self) -> None:
        """Wait for its good end."""
        status = self.ended()
        assert status == 0, f"{status}: {self.log[-3000:]}"

"""Fixtures: the image, the two guests of a session, and a fresh target.

Where the guests cannot be built or run the tests skip, with the reason; with
ZRWIZARD_REQUIRE_GUEST=1 they fail instead.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from . import tree
from .machines import Guest, Image, Machine, Unavailable, Wire, build_image

GIB = 1 << 30
SERVER_ADDRESS = "10.99.0.2"
TARGET_DISK_SERIAL = "ZRDISK0001"
SECOND_DISK_SERIAL = "ZRDISK0002"


@dataclass
class Pair:
    """hostB, which serves the backup, and hostC, a blank machine on live media."""

    image: Image
    directory: Path
    wire: Wire
    server: Guest
    target: Guest
    resets: int = 0

    def target_machine(
        self,
        options: dict[str, str] | None = None,
        *,
        reboots: bool = False,
        disks: Sequence[str] = (TARGET_DISK_SERIAL,),
    ) -> Machine:
        """hostC with those of its current disks that have the serial numbers `disks`."""
        return Machine(
            "hostC",
            wire_end=1,
            options={"live": "1"} | (options or {}),
            disks=tuple((self._disk(serial), 4 * GIB, serial) for serial in disks),
            reboots=reboots,
        )

    def _disk(self, serial: str) -> Path:
        return self.directory / f"target{self.resets}-{serial}.img"

    def reset_target(
        self,
        *,
        blank: bool = True,
        options: dict[str, str] | None = None,
        reboots: bool = False,
        disks: Sequence[str] = (TARGET_DISK_SERIAL,),
    ) -> Guest:
        """Power hostC off and on, by default with a new blank disk; `reboots` lets it reboot
        (otherwise a reboot ends QEMU), `options` are zg.* settings. About 10 s. With old disks
        its console is where it was; those that `disks` leaves out are as if taken away."""
        self.target.stop()
        port = 0 if blank else self.target.port
        if blank:
            for old in self.directory.glob(self._disk("*").name):
                old.unlink()
            self.resets += 1
        machine = replace(self.target_machine(options, reboots=reboots, disks=disks), port=port)
        self.target = Guest(self.image, machine, self.wire, self.directory)
        self.target.wait_ready()
        return self.target

    def restart_server(self) -> Guest:
        """Power hostB off and on; its pools are on its disks, and are not imported."""
        machine = self.server.machine
        self.server.stop()
        self.server = Guest(self.image, machine, self.wire, self.directory)
        self.server.wait_ready()
        return self.server


@contextmanager
def started(image: Image) -> Iterator[Pair]:
    """Both guests, up: hostB with two empty disks, hostC blank."""
    with tempfile.TemporaryDirectory(prefix="zrwizard-guests-") as name:
        directory = Path(name)
        wire = Wire()
        server = Machine(
            "hostB",
            wire_end=0,
            options={"host": "hostB", "ip": f"{SERVER_ADDRESS}/24", "sshd": "1"},
            disks=(
                (directory / "server.img", 2 * GIB, "ZRBACKUP01"),
                (directory / "wood.img", GIB, "ZRBACKUP02"),
            ),
        )
        host_b = Guest(image, server, wire, directory)
        pair = Pair(image, directory, wire, host_b, host_b)
        try:
            pair.target = Guest(image, pair.target_machine({"kmsg": "3"}), wire, directory)
            host_b.wait_ready()
            pair.target.wait_ready()
            yield pair
        finally:
            pair.target.stop()
            pair.server.stop()
            wire.close()


@pytest.fixture(scope="session")
def guest_image() -> Image:
    """The built image; skips, or fails if guests are required."""
    try:
        return build_image()
    except Unavailable as error:
        if os.environ.get("ZRWIZARD_REQUIRE_GUEST") == "1":
            pytest.fail(f"the guests are required here: {error}", pytrace=False)
        pytest.skip(f"no guests: {error}")


@pytest.fixture(scope="session")
def guests(guest_image: Image) -> Iterator[Pair]:
    """Both guests of a session: hostB with the tree of tests/guest/tree.py, hostC blank."""
    with started(guest_image) as pair:
        tree.build(pair.server)
        yield pair

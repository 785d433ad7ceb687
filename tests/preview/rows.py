"""A tree of datasets told in the words of the tools, for the tests of inventory and relation."""

from __future__ import annotations

from dataclasses import dataclass, field

from zrwizard.preview import inventory
from zrwizard.preview.inventory import Inventory
from zrwizard.shell.api import Result

T0 = 1_800_000_000


def padded(text: str) -> str:
    """A column of mount -p: as many tabs as it takes, a blank where it is long."""
    size = len(text)
    return text + "\t" * ((size < 8) + (size < 16)) + ("\t" if size < 24 else " ")


def answer(out: str | bytes, status: int = 0, err: str = "") -> Result:
    return Result(status, out if isinstance(out, bytes) else out.encode(), err.encode(), 0.1)


@dataclass
class Rows:
    """Collects rows; times are T0 + txg, so that order and clock agree unless a test says so."""

    listed: list[str] = field(default_factory=list)
    points: list[bytes] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def fs(
        self,
        name: str,
        txg: int,
        *,
        origin: str = "-",
        point: str | None = None,
        mounted: bool = True,
        canmount: str = "on",
        key: str = "-",
        guid: int = 0,
    ) -> Rows:
        point = "/" + name if point is None else point
        encryption = "off" if key == "-" else "aes-256-gcm"
        self.listed.append(
            f"{name}\tfilesystem\t{guid or 1000 + txg}\t{T0 + txg}\t{txg}\t900\t300\t7\t1800\t600\t"
            f"{origin}\t{canmount}\t{'yes' if mounted else 'no'}\ton\t{encryption}\t{key}"
        )
        self.points.append(f"{name}\t{point}".encode())
        if mounted:
            self.mounts.append(f"{padded(name)}{padded(point)}zfs\trw,nfsv4acls \t0 0")
        return self

    def vol(self, name: str, txg: int) -> Rows:
        self.listed.append(
            f"{name}\tvolume\t{1000 + txg}\t{T0 + txg}\t{txg}\t900\t300\t7\t1800\t600\t"
            "-\t-\t-\t-\toff\t-"
        )
        return self

    def snap(self, name: str, txg: int, guid: int, *, written: int = 10) -> Rows:
        self.listed.append(
            f"{name}\tsnapshot\t{guid}\t{T0 + txg}\t{txg}\t5\t300\t{written}\t-\t600\t"
            "-\t-\t-\t-\toff\t-"
        )
        return self

    def did(self, second: int, command: str) -> Rows:
        from datetime import UTC, datetime

        stamp = datetime.fromtimestamp(T0 + second, UTC).strftime("%Y-%m-%d.%H:%M:%S")
        self.events.append(f"{stamp} {command}")
        return self

    def answers(self) -> dict[str, Result]:
        return {
            "list": answer("".join(f"{row}\n" for row in self.listed)),
            "mountpoints": answer(b"".join(row + b"\n" for row in self.points)),
            "mounts": answer("".join(f"{row}\n" for row in self.mounts)),
            "history": answer("History for 'tank':\n" + "".join(f"{e}\n" for e in self.events)),
            "release": answer("14.3-RELEASE\n"),
        }

    def inventory(self, root: str | None = "tank/a") -> Inventory:
        return inventory.parse(root, self.answers())

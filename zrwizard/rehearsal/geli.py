"""GELI as data: metadata in a provider's last sector, keys, and what an attached one shows."""

from __future__ import annotations

import hashlib
import hmac
import random
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zrwizard.rehearsal.hardware import Content, Disk

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine, Where

MAGIC = b"GEOM::ELI"
VERSION = 7
AES_XTS = 22
AUTORESIZE, BOOT, GELIBOOT, NODELETE = 0x200, 0x2, 0x80, 0x40
FLAG_WORDS = ((BOOT, "BOOT"), (NODELETE, "NODELETE"), (GELIBOOT, "GELIBOOT"))
MASTER_KEY = 192
"""Bytes of one encrypted master key: data key, initial vector key, HMAC."""
SECTOR = 512
"""Bytes that the metadata take on disk and in a backup."""


@dataclass(slots=True)
class Geli:
    """What is written on a provider. `slots` are its two key slots, None where one is empty.

    `inner` is the device that appears when it is attached; it keeps what is written on it.
    """

    size: int
    sector: int
    keylen: int
    flags: int
    iterations: int
    salt: bytes
    slots: list[bytes | None]
    masters: bytes
    inner: Disk

    def opens(self, key: bytes) -> int | None:
        """The number of the slot that `key` opens, None where it opens none."""
        for number, slot in enumerate(self.slots):
            if slot is not None and hmac.compare_digest(slot, derived(self.salt, key)):
                return number
        return None

    @property
    def used(self) -> int:
        """The bit mask of the slots in use."""
        return sum(1 << n for n, slot in enumerate(self.slots) if slot is not None)

    def block(self) -> bytes:
        """The metadata as they stand on the disk: 512 bytes, little endian, MD5 at the end."""
        body = MAGIC.ljust(16, b"\0") + struct.pack(
            "<IIHHHQIBi",
            VERSION,
            self.flags,
            AES_XTS,
            self.keylen,
            0,
            self.size,
            self.sector,
            self.used,
            self.iterations,
        )
        body += self.salt + self.masters
        return (body + hashlib.md5(body).digest()).ljust(SECTOR, b"\0")  # noqa: S324 - as geli does

    def dump(self, name: str) -> str:
        """What `geli dump NAME` prints."""
        body = self.block()
        digest = hashlib.md5(body[: SECTOR - 17]).hexdigest()  # noqa: S324 - as geli does
        rows = (
            ("magic", MAGIC.decode()),
            ("version", VERSION),
            ("flags", f"0x{self.flags:x}"),
            ("ealgo", "AES-XTS"),
            ("keylen", self.keylen),
            ("provsize", self.size),
            ("sectorsize", self.sector),
            ("keys", f"0x{self.used:02x}"),
            ("iterations", self.iterations),
            ("Salt", self.salt.hex()),
            ("Master Key", self.masters.hex()),
            ("MD5 hash", digest),
        )
        text = "".join(f"{key:>10s}: {value}\n" for key, value in rows)
        return f"Metadata on {name}:\n{text}\n"

    def flag_words(self) -> str:
        """The flags as `geli list` names them."""
        words = [word for bit, word in FLAG_WORDS if self.flags & bit]
        return ", ".join([*words, *(["AUTORESIZE"] if self.flags & AUTORESIZE else [])]) or "NONE"


def derived(salt: bytes, key: bytes) -> bytes:
    """What stands for the user's key: from it the key itself cannot be found again."""
    return hmac.new(salt, key, hashlib.sha512).digest()


@dataclass(slots=True)
class Attached:
    """An attached provider. `on_close`: it goes when its last user closes it after a write."""

    geli: Geli
    disk: Disk
    offset: int
    provider: str
    slot: int
    on_close: bool = False
    read_only: bool = False

    @property
    def name(self) -> str:
        """`da0.eli`."""
        return self.geli.inner.name


@dataclass(slots=True)
class Keys:
    """Components of a user key as they were given, in order."""

    files: bytes = b""
    passphrase: bytes = b""
    many: list[str] = field(default_factory=list)

    def joined(self) -> bytes:
        """What the metadata know of them."""
        return self.files + b"\0" + self.passphrase


def make(
    rng: random.Random, where: Where, *, sector: int, keylen: int, flags: int, key: Keys
) -> Geli:
    """Write new metadata on a place; what it held before is gone."""
    inner = Disk(
        f"{where.name}.eli", (where.size - sector) // sector * sector, "", sector=sector, heads=0
    )
    inner.track = 0
    salt = rng.randbytes(64)
    made = Geli(
        where.size,
        sector,
        keylen,
        flags,
        -1 if not key.passphrase else 1_113_447,
        salt,
        [derived(salt, key.joined()), None],
        rng.randbytes(2 * MASTER_KEY),
        inner,
    )
    if where.part is None:
        where.disk.table = None
    where.disk.overwrite(where.offset, Content(where.size, geli=made))
    return made


def metadata(where: Where) -> Geli | None:
    """The metadata on a place, None where there are none."""
    found = where.disk.contents.get(where.offset)
    return found.geli if found is not None else None


def attach(m: Machine, where: Where, slot: int, *, on_close: bool, read_only: bool) -> Attached:
    """Make the device appear, with the kernel's lines on the console."""
    geli = metadata(where)
    assert geli is not None  # noqa: S101 - the caller has read the metadata
    rename(geli.inner, f"{where.name}.eli")
    made = Attached(geli, where.disk, where.offset, where.name, slot, on_close, read_only)
    m.attached.append(made)
    m.load("geom_eli")
    m.refresh_nodes()
    m.kernel(
        f"GEOM_ELI: Device {made.name} created.",
        f"GEOM_ELI: Encryption: AES-XTS {geli.keylen}",
        "GEOM_ELI:     Crypto: accelerated software",
    )
    return made


def detach(m: Machine, made: Attached, why: str = "") -> None:
    """Take the device away; the kernel says so."""
    m.attached.remove(made)
    m.refresh_nodes()
    m.kernel(why or f"GEOM_ELI: Device {made.name} destroyed.")
    if m.replug:
        m.replug = False
        m.pull_usb()


def closed(m: Machine, name: str) -> None:
    """A device that was open for writing was closed: -d detaches it now."""
    for made in [a for a in m.attached if a.name == name and a.on_close]:
        detach(m, made, f"GEOM_ELI: Detached {made.name} on last close.")


def rename(disk: Disk, new: str) -> None:
    """A device has another name than before, and so has what a pool on it says it lies on."""
    old, disk.name = disk.name, new
    for content in disk.contents.values():
        pool = content.pool
        if pool is None:
            continue
        if pool.disk == old:
            pool.device, pool.disk = _renamed(pool.device, old, new), new
        for member in pool.devices:
            if member.disk == old:
                member.device, member.disk = _renamed(member.device, old, new), new


def _renamed(device: str, old: str, new: str) -> str:
    return new + device.removeprefix(old) if device.startswith(old) else device

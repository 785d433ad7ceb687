"""Single files of the target, looked at and read through a read-only shell, limited in size."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass

from zrwizard.console.errors import Refused
from zrwizard.freebsd import mount
from zrwizard.freebsd import stat as stats
from zrwizard.freebsd.errors import ParseError
from zrwizard.preview.asking import ask
from zrwizard.preview.events import Pair
from zrwizard.preview.reach import argument, crosses
from zrwizard.shell.readonly import ReadOnly

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SLOWEST_DISK = 2_000_000
# What a text may hold besides what can be printed: bell, backspace, tab, line ends, escape.
_CONTROLS = frozenset(b"\x07\x08\t\n\x0b\x0c\r\x1b")
_ODD = bytes(byte for byte in range(32) if byte not in _CONTROLS) + b"\x7f"
_C1 = bytes(range(0x80, 0xA0))


@dataclass(frozen=True, slots=True)
class Target:
    """A read-only shell and the event that stops what it does."""

    shell: ReadOnly
    stop: threading.Event | None = None

    def stat(self, *paths: bytes) -> tuple[stats.Stat | stats.Absent, ...]:
        """Look at `paths`. Raises `ConsoleError`: `Refused` for an answer that makes no sense."""
        if not paths:
            return ()
        result = ask(self.shell, stats.stat(*paths), stop=self.stop)
        try:
            return stats.parse(paths, result.out, result.err)
        except ParseError as error:
            raise Refused(f"stat(1) cannot be understood: {error}", "Look by hand.") from None

    def head(self, path: bytes, size: int) -> bytes | None:
        """The first `size` bytes of a regular file; None where it cannot be read."""
        argv = ("dd", f"if={argument(path)}", f"bs={size}", "count=1")
        result = ask(self.shell, argv, timeout=600.0, stop=self.stop)
        return result.out if result.status == 0 else None

    def link(self, path: bytes) -> bytes | None:
        """What a symbolic link points to; None where it cannot be read."""
        result = ask(self.shell, ("readlink", "-n", argument(path)), stop=self.stop)
        return result.out if result.status == 0 else None

    def sha256(self, path: bytes, size: int) -> str | None:
        """The SHA-256 of a file of `size` bytes, taken on the target; None where that fails."""
        argv = ("sha256", "-q", argument(path))
        result = ask(self.shell, argv, timeout=60.0 + size / _SLOWEST_DISK, stop=self.stop)
        said = result.text.strip()
        return said if result.status == 0 and _SHA256.fullmatch(said) else None

    def keeps_access_times(self, dataset: str) -> bool:
        """Whether reading a live file of `dataset` would change its access time, or may."""
        argv = ("zfs", "get", "-Hp", "-o", "value", "atime,readonly", dataset)
        result = ask(self.shell, argv, stop=self.stop)
        values = result.text.split("\n")[:2]
        return result.status != 0 or not (values[0] == "off" or values[1:] == ["on"])

    def mounted(self) -> bytes:
        """What `mount -p` prints."""
        return ask(self.shell, ("mount", "-p"), stop=self.stop).out

    def owner_mount(self, pair: Pair) -> bytes | None:
        """Where the dataset of a pair's older snapshot is mounted, if it is another one."""
        owner = crosses(pair)
        if owner is None:
            return None
        return mount.parse_zfs(self.mounted(), [owner]).points.get(owner)


def decoded(data: bytes, *, whole: bool) -> tuple[str, str] | None:
    """The text in `data` and its encoding, None for what is no text.

    Text holds no NUL and none of the control characters that no text file needs. It is UTF-8 where
    it can be (the end of a head may cut a character); else Latin-1, if more than half of its bytes
    are ASCII and none is one of the control characters 0x80 to 0x9F, which Latin-1 texts lack.
    """
    if data.translate(None, _ODD) != data:
        return None
    for cut in range(1 if whole else 4):
        try:
            return data[: len(data) - cut].decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            continue
    plain = sum(byte < 0x80 for byte in data)
    if data.translate(None, _C1) == data and plain * 2 > len(data):
        return data.decode("latin-1"), "latin-1"
    return None


def sha256_here(data: bytes) -> str:
    """The SHA-256 of bytes that were read whole."""
    return hashlib.sha256(data).hexdigest()

"""Looking for a key where it must not be: in raw disks, in files, in what processes show.

Every part of it counts: sixteen bytes of the raw key, or as much of what it looks like in hex or
base64, are a find. The search is shown to find what is planted.
"""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .machines import Guest, GuestError

CHUNK = 8 << 20


class Needles:
    """What a key may look like. `text` is the key's file: hex digits and a newline."""

    def __init__(self, text: bytes) -> None:
        digits = text.strip()
        raw = bytes.fromhex(digits.decode())
        assert len(raw) == 64
        parts: set[bytes] = set()
        for at in range(0, 64, 16):
            part = raw[at : at + 16]
            parts |= {part, part.hex().encode(), part.hex().upper().encode()}
            parts |= {b" ".join(b"%02x" % byte for byte in part), part[::-1]}
            parts.add(b"".join(b"\\x%02x" % byte for byte in part))
        for whole in (raw, digits, text, digits.upper()):
            for shift in range(3):  # base64 of it, wherever it stands in a longer text
                coded = base64.b64encode(b"\0" * shift + whole)[4:-4]
                parts |= {coded[at : at + 20] for at in range(0, len(coded) - 20, 20)}
        self._parts = tuple(sorted(parts))

    def inside(self, data: bytes) -> bool:
        """Whether a part of the key is in `data`."""
        return any(part in data for part in self._parts)

    def file(self, path: Path) -> bool:
        """Whether a part of the key is in a file."""
        return holds(path, self._parts)

    def files(self, paths: Iterable[Path]) -> list[Path]:
        """Those of the files in which a part of the key is."""
        return [path for path in paths if path.is_file() and self.file(path)]


def holds(path: Path, parts: Sequence[bytes]) -> bool:
    """Whether one of the `parts` is in a file; its holes are passed over."""
    longest = max(map(len, parts))
    with path.open("rb") as file:
        for start, end in _filled(file.fileno(), path.stat().st_size):
            file.seek(start)
            rest, left = b"", end - start
            while data := file.read(min(CHUNK, left)):
                left -= len(data)
                window = rest + data
                if any(part in window for part in parts):
                    return True
                rest = data[-longest:]
    return False


def _filled(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at


class Sampler:
    """Notes what the processes of this machine show of themselves, several times a second."""

    def __init__(self, seconds: float = 0.2) -> None:
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: set[bytes] = set()
        self.rounds = 0

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self.look()

    def look(self) -> None:
        """One round over /proc."""
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen.add(Path(entry.path, name).read_bytes())
        self.rounds += 1

    def shows(self, needles: Needles) -> list[bytes]:
        """What was seen that has a part of the key in it."""
        return [text for text in self.seen if needles.inside(text)]


class GuestSampler(Sampler):
    """The same of a guest, which may start anew meanwhile: what was seen of it is kept here."""

    def __init__(self, guest: Guest, seconds: float = 0.2) -> None:
        super().__init__(seconds)
        self._guest = guest

    def look(self) -> None:
        """One round over the guest's /proc; words are parted by blanks."""
        with contextlib.suppress(GuestError):
            shown = self._guest.run(
                "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ", timeout=5, check=False, grace=5
            ).stdout
            self.seen.add(shown.replace(b"\0", b" "))
            self.rounds += 1


GUEST_SAMPLER = r"""
while :; do
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null
  echo "round $((n = n + 1))"
  sleep 0.2
done | tr '\0' '\n' | awk '!seen[$0]++ { print; fflush() }' > /run/zg/samples
"""
"""The same in the guest, into a file there: each line once, and the number of each round."""

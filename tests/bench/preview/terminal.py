"""The app in a process and on a terminal of its own, watched from the other end of the pty."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import socket
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

from tests.bench.preview import lines
from tests.bench.preview.onscreen import NEXT

ROOT = Path(__file__).resolve().parents[3]
QUIET = 0.06
"""Seconds without a byte that end a frame."""
PAUSE = 0.008
"""Seconds without a byte that part the rows from what is drawn after them."""


class Terminal:
    """A pty of 80x24 with the app on it."""

    def __init__(self) -> None:
        self._tty, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.control, theirs = socket.socketpair()
        out, self.pipe = os.pipe()
        env = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        words = ["-m", "tests.bench.preview.onscreen", str(out), str(theirs.fileno())]
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT, env=env, stdin=inner, stdout=inner, stderr=inner,
            pass_fds=(out, theirs.fileno()), start_new_session=True,
        )  # fmt: skip
        for end in (inner, out):
            os.close(end)
        theirs.close()
        self.seen = b""

    def close(self) -> None:
        """End the app."""
        self.control.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._tty)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._tty, keys)

    def read(self, seconds: float) -> bytes:
        """Return what comes within `seconds`, as soon as it does; b"" where nothing does."""
        if not select.select([self._tty], [], [], max(seconds, 0.0))[0]:
            return b""
        try:
            return os.read(self._tty, 1 << 16)
        except OSError:
            raise AssertionError(f"the app is gone: {self.seen[-3000:]!r}") from None

    def see(self, words: bytes, seconds: float = 60.0) -> float:
        """Wait until what matches `words` was drawn; return when."""
        end = time.perf_counter() + seconds
        while not re.search(words, self.seen):
            left = end - time.perf_counter()
            if left <= 0:
                raise AssertionError(f"never drawn: {words!r}; last: {self.seen[-3000:]!r}")
            self.seen += self.read(left)
        return time.perf_counter()

    def told(self, word: bytes, seconds: float = 120.0) -> bytes:
        """Wait for a line on the control socket; what is drawn meanwhile is taken."""
        end, line = time.perf_counter() + seconds, b""
        while not line.endswith(b"\n"):
            self.seen = self.seen[-8192:] + self.read(0.02)
            if select.select([self.control], [], [], 0)[0]:
                line += self.control.recv(64)
            assert time.perf_counter() < end, f"never told: {word!r}"
        assert line.startswith(word), line
        return line

    def quiet(self, seconds: float = 0.5) -> None:
        """Wait until nothing more is drawn."""
        while self.read(seconds):
            pass

    def frame(self, keys: bytes) -> tuple[float, float]:
        """Press keys; return the seconds until the rows were drawn, and until the last byte.

        The rows come in one go; the words about the row under the cursor follow by themselves.
        """
        began = time.perf_counter()
        self.type(keys)
        rows = last = 0.0
        wait = 2.0
        while self.read(wait):
            now = time.perf_counter() - began
            if not last or (rows == last and now - last < PAUSE):
                rows = now
            last, wait = now, QUIET
        if not last:
            raise AssertionError(f"nothing was drawn after {keys!r}")
        return rows, last


def watch(texts: list[bytes], frames: int) -> dict[str, Any]:
    """Return seconds to the first rows, and of frames with everything open, and the peak memory."""
    terminal = Terminal()
    try:
        terminal.see(b"Which tree")
        terminal.type(b"\r")
        terminal.see(b"Mark two moments")
        terminal.quiet(0.3)
        terminal.seen = b""
        terminal.type(b"\r")
        terminal.told(b"began")
        # The pipe is filled from a thread, as fast as the app takes it.
        whole = NEXT.join(texts)
        names = _top_names(texts[0][:200_000])
        began = time.perf_counter()
        threading.Thread(target=_fill, args=(terminal.pipe, whole), daemon=True).start()
        first = terminal.see(names) - began
        terminal.told(b"over")
        over = time.perf_counter() - began
        terminal.see(b"complete")
        terminal.control.send(b"open\n")
        rows = int(terminal.told(b"rows").split()[1])
        terminal.quiet()
        figures: dict[str, Any] = {"first": first, "over": over, "rows": rows}
        terminal.frame(b"j")
        for name, keys in (("page", b" "), ("line", b"j"), ("ends", b"><")):
            taken = [terminal.frame(bytes([keys[at % len(keys)]])) for at in range(frames)]
            rows_of, whole_of = zip(*taken, strict=True)
            figures[f"{name}_rows"] = statistics.median(rows_of)
            figures[name], figures[f"{name}_worst"] = statistics.median(whole_of), max(whole_of)
        terminal.control.send(b"end\n")
        return figures | {"peak_kb": int(terminal.told(b"peak").split()[1])}
    finally:
        terminal.close()


def _top_names(text: bytes) -> bytes:
    """A regex of the directories right below the mountpoint, one of which must be seen first."""
    mount = lines.PAIRS[0].mount or b""
    names = set(re.findall(rb"\t" + re.escape(mount) + rb"/(\w+)", text))
    return b"(?:" + b"|".join(sorted(names)) + b")/"


def _fill(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(pipe, view[: 1 << 16]) :]
    except OSError:
        return
    finally:
        os.close(pipe)

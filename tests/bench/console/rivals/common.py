"""What every contestant's adapter shares: arguments, the clock, the ladder of sizes, JSON lines.

Standard library only: an adapter runs under the python of the rival's own environment.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import pty
import signal
import statistics
import struct
import termios
import time
from collections.abc import Callable, Iterator

ROWS, COLUMNS = 24, 80
LADDER = (100_000, 1_000_000, 5_000_000, 20_000_000)
"""Bytes that are tried before the full size; a rival that grows quadratically stops early."""
REPEATS = 3
LINE = 77
"""Bytes of each line of the file; a prompt must begin a line, so sizes are whole lines."""
PROMPT = "zrbench> "
BEGIN, END = b"\x1e", b"\x1f"
_STATUS = "; printf '\\036%d\\037' $?"


def arguments() -> argparse.Namespace:
    """Return `commands`, `bytes`, `limit` (seconds for each part) and `file` (lines of text)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=50_000_000)
    parser.add_argument("--limit", type=float, default=12.0)
    parser.add_argument("--file", required=True)
    return parser.parse_args()


def say(kind: str, **values: object) -> None:
    """Print one JSON line for the parent, at once: what follows may be cut off."""
    print(json.dumps({"kind": kind, **values}), flush=True)


def environment() -> dict[str, str]:
    """Return the environment of every contestant's shell; nothing in it starts a script."""
    keep = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME"}}
    return {**keep, "TERM": "vt100", "PS1": PROMPT, "PS2": "", "LC_ALL": "C"}


def commands(run: Callable[[], bool], count: int, limit: float, name: str = "commands") -> None:
    """Time `run` up to `count` times or `limit` seconds; it returns whether all was as it ought."""
    run()
    times: list[float] = []
    wrong = 0
    stop = time.perf_counter() + limit
    while len(times) < count and (not times or time.perf_counter() < stop):
        began = time.perf_counter()
        good = run()
        times.append(time.perf_counter() - began)
        wrong += not good
    say(name, n=len(times), median=statistics.median(times), total=sum(times), wrong=wrong)


def bulk(take: Callable[[str, int], bytes | bool], args: argparse.Namespace) -> None:
    """Time `take(command, size)`, which returns the output, or whether it was right.

    Sizes climb the ladder as long as the next one promises to end within the limit; the full
    size is taken `REPEATS` times where there is time. Each is printed as it is done.
    """
    ladder = [size for size in LADDER if size < args.bytes] + [args.bytes] * REPEATS
    done: list[tuple[int, float]] = []
    left = args.limit
    for size in (size - size % LINE for size in ladder):
        if done and _foreseen(done, size) > left:
            return
        began = time.perf_counter()
        got = take(f"head -c {size} {args.file}", size)
        seconds = time.perf_counter() - began
        left -= seconds
        done.append((size, seconds))
        good = got if isinstance(got, bool) else _right(got, args.file, size)
        say("bulk", bytes=size, seconds=seconds, right=good)


def _foreseen(done: list[tuple[int, float]], size: int) -> float:
    """Return the seconds that `size` bytes should take, from how the last sizes grew."""
    last, seconds = done[-1]
    power = 1.0
    if len(done) > 1 and done[-2][0] < last:
        before, less = done[-2]
        power = max(1.0, min(2.0, math.log(seconds / less) / math.log(last / before)))
    return seconds * float((size / last) ** power)


def _right(got: bytes, file: str, size: int) -> bool:
    with open(file, "rb") as source:
        want = source.read(size)
    return got.replace(b"\r", b"").strip() == want.strip()


class QuietSh:
    """`/bin/sh` on a pty of 80x24 without echo and prompt, read with plain `os.read`."""

    def __init__(self) -> None:
        self._pid, self.fd = pty.fork()
        if self._pid == 0:
            os.execve("/bin/sh", ["sh"], environment())  # noqa: S606
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.ask("set +o emacs +o vi; PS1= PS2=; stty -echo")
        self.ask(":")

    def ask(self, command: str) -> int:
        """Type `command`, return its exit status, which comes between two control bytes."""
        return self.count(command, lambda _: None)

    def count(self, command: str, sink: Callable[[int], None]) -> int:
        """As `ask`; `sink` is told the size of each read, and a rolling tail is all that is kept.

        What is typed holds no control byte, so an echo cannot be taken for the status.
        """
        os.write(self.fd, (command + _STATUS + "\r").encode())
        tail = b""
        while not tail.endswith(END):
            data = self._read()
            sink(len(data))
            tail = (tail + data)[-64:]
        return int(tail[tail.rindex(BEGIN) + 1 : -1])

    def minimal(self) -> bool:
        """The bare round trip: one builtin that answers with one byte, and nothing else."""
        os.write(self.fd, b"printf \\\\037\r")
        return self._read() == END

    def _read(self) -> bytes:
        return os.read(self.fd, 65536)

    def close(self) -> None:
        """End the shell and collect it."""
        os.close(self.fd)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGHUP)
        os.waitpid(self._pid, 0)


@contextlib.contextmanager
def quiet_sh() -> Iterator[QuietSh]:
    """A `QuietSh` that is closed at the end."""
    shell = QuietSh()
    try:
        yield shell
    finally:
        shell.close()

"""A real pty with a real sh, and a line to it that lies: noise, loss, doubling, stalls, cuts.

Every fault is drawn from a seed, by the number of bytes that passed in its direction, so that a
campaign can be run again. What the shell and the tty do about them is real.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import re
import signal
import struct
import tempfile
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect

from zrwizard.console.console import Console
from zrwizard.console.transcript import Transcript
from zrwizard.line import LineError
from zrwizard.secrets import Secrets
from zrwizard.shell.session import ShellSession

SHELLS = {
    "dash": ("/bin/dash" if Path("/bin/dash").exists() else "/bin/sh", []),
    "bash-posix": ("/bin/bash", ["--posix", "--norc", "--noprofile"]),
    "busybox-ash": ("/bin/busybox", ["ash"]),
}
KERNEL = (
    b"em0: link state changed to DOWN\r\n",
    b"GEOM_ELI: Device da0.eli created.\r\n",
    b"ZFS filesystem version: 5\r\n",
    b"\x07ugen0.2: <Kingston DataTraveler> at usbus0\r\n",
    b"login: ",
    b"# ",
    b"Password:",
    b"0",
    b"000:255",
    b"\x1eE",
    b"\x1f",
)
LOGINS = (
    b"\r\nFreeBSD/amd64 (hostA) (ttyu0)\r\n\r\nlogin: root\r\nPassword:\r\n",
    b"Nov 22 01:02:03 hostA login[812]: ROOT LOGIN (root) ON ttyv0\r\n",
    b"Last login: Sat Nov 21 23:10:01 from 10.99.0.9\r\nFreeBSD 14.2-RELEASE GENERIC\r\n",
    b"root@hostA:~ # ",
    b"\r\nBroadcast Message from root@hostA\r\n        (/dev/pts/0) at 1:02 UTC...\r\n",
    b"root@hostA:~ # exit\r\nlogout\r\n",
)
_FRAME = re.compile(rb"\x1e[A-Z][^\x1e\x1f]{1,400}\x1f")


@dataclass(frozen=True)
class Faults:
    """Chances per byte, but where it says otherwise."""

    noise: float = 0.0
    """A kernel line is put between what the target sends."""
    logins: float = 0.0
    """What another root's login prints."""
    replay: float = 0.0
    """A frame that was sent before."""
    garbage: float = 0.0
    """A byte from 0x80 to 0xFF, or NUL."""
    out_lost: float = 0.0
    out_doubled: float = 0.0
    out_flipped: float = 0.0
    """What the target sends is lost, doubled, another byte."""
    lost: float = 0.0
    doubled: float = 0.0
    flipped: float = 0.0
    """What is typed is lost, doubled, another printable byte."""
    burst: float = 0.0
    """A run of 2 to 40 typed bytes is lost, as a full queue or a FIFO loses it."""
    stopped: float = 0.0
    """A stray ^S is typed."""
    cut: float = 0.0
    """The line ends, in either direction; the shell lives on behind it."""
    echo: float = 0.0
    """Chance per line typed that somebody has just said `stty echo` at 80 columns."""
    queue: int = 0
    """Bytes that the tty holds for its reader; more is dropped, each byte answered by BEL."""
    tiny_reads: bool = False
    delay: float = 0.0
    """Seconds that a read is late, at most."""
    rate: int = 0
    """Bytes that come in a second: 960 at 9600 baud; 0 for all at once."""


class Chance:
    """Where, in a stream of bytes, something befalls one with probability `p`."""

    def __init__(self, p: float, seed: str) -> None:
        self.random = random.Random(seed)
        self._p = p
        self._left = self._draw()

    def _draw(self) -> float:
        return self.random.expovariate(self._p) if self._p else float("inf")

    def hits(self, count: int) -> list[int]:
        """Return which of the next `count` bytes are hit."""
        found = []
        while self._left < count:
            found.append(int(self._left))
            self._left = int(self._left) + 1 + self._draw()
        self._left -= count
        return found


class Fate:
    """The faults of one target, which go on over every line to it."""

    OUT = ("noise", "logins", "replay", "garbage", "out_lost", "out_doubled", "out_flipped")
    IN = ("lost", "doubled", "flipped", "burst", "stopped")

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self.chances = {
            name: Chance(getattr(faults, name), f"{seed} {name}") for name in (*self.OUT, *self.IN)
        }
        self.cuts = {way: Chance(faults.cut, f"{seed} cut {way}") for way in ("in", "out")}
        self.random = random.Random(f"{seed} rest")
        self.frames: deque[bytes] = deque(maxlen=400)
        self.recent = b""

    def note(self, data: bytes) -> None:
        """Remember the frames in what the target sent, for `replay`."""
        self.recent = (self.recent + data)[-4096:]
        ends = self.recent.rfind(b"\x1f") + 1
        self.frames.extend(_FRAME.findall(self.recent[:ends]))
        self.recent = self.recent[ends:]

    def sent(self, data: bytes) -> bytes:
        """Return what arrives of `data` that the target sent."""
        self.note(data)
        pieces = [data[at : at + 1] for at in range(len(data))]
        for name in self.OUT:
            chance = self.chances[name]
            for at in chance.hits(len(data)):
                pieces[at] = self._spoilt(name, pieces[at], chance.random)
        return b"".join(pieces)

    def _spoilt(self, name: str, piece: bytes, pick: random.Random) -> bytes:
        match name:
            case "out_lost":
                return b""
            case "out_doubled":
                return piece * 2
            case "out_flipped":
                return bytes([pick.randrange(256)])
            case "garbage":
                extra = bytes([pick.choice([0, 0, 255, *range(128, 256)])])
            case "replay":
                extra = pick.choice(self.frames) if self.frames else b""
            case "logins":
                extra = pick.choice(LOGINS)
            case _:
                extra = pick.choice(KERNEL)
        return extra + piece if pick.random() < 0.5 else piece + extra

    def typed(self, data: bytes) -> bytes:
        """Return what the target gets of `data` that was typed."""
        pieces = [data[at : at + 1] for at in range(len(data))]
        for name in self.IN:
            chance = self.chances[name]
            for at in chance.hits(len(data)):
                match name:
                    case "lost":
                        pieces[at] = b""
                    case "doubled":
                        pieces[at] *= 2
                    case "flipped":
                        pieces[at] = bytes([chance.random.randrange(0x20, 0x7F)])
                    case "burst":
                        for gone in range(at, min(len(data), at + chance.random.randint(2, 40))):
                            pieces[gone] = b""
                    case _:
                        pieces[at] += b"\x13"
        return b"".join(pieces)


@dataclass
class Exact:
    """One fault at one byte: `change` is applied to the byte number `at` that passes `way`."""

    way: str
    at: int
    change: Callable[[bytes], bytes]
    passed: int = 0

    @property
    def hit(self) -> bool:
        """Whether as many bytes have passed."""
        return self.passed > self.at

    def apply(self, way: str, data: bytes) -> bytes:
        """Return what becomes of the next `data` that pass in direction `way`."""
        if way != self.way:
            return data
        at, self.passed = self.at - self.passed, self.passed + len(data)
        if not 0 <= at < len(data):
            return data
        return data[:at] + self.change(data[at : at + 1]) + data[at + 1 :]


class LyingLine:
    """A connection to the shell in `spawn`; faults happen while `armed`."""

    def __init__(self, spawn: Any, faults: Faults, seed: int, host: Host | None = None) -> None:
        self.spawn = spawn
        self.fate = host.fate if host else Fate(faults, seed)
        self.faults = self.fate.faults
        self.host = host
        self.armed = True
        self.ended = False
        self.passed = {"in": 0, "out": 0}
        self.cut_at: tuple[str, int] | None = None
        """A direction and the number of armed bytes after which the line ends in it, for once."""
        self.exact: Exact | None = None
        self._ready = b""
        self._extra: deque[bytes] = deque()

    @property
    def _chatty(self) -> bool:
        """Whether the line itself answers, as a tty does."""
        return bool(self.faults.queue or (self.host and self.host.answers_status))

    def cut(self) -> None:
        """End the line; the shell behind it does not notice."""
        self.ended = True
        if self.host:
            self.host.on_cut()

    def read_nonblocking(self, size: int, timeout: float) -> bytes:
        if self.ended:
            raise pexpect.EOF("the line was cut")
        while self._extra:
            self._ready += self._extra.popleft()
        if not self._ready:
            self._ready = self._read(size, min(timeout, 0.02) if self._chatty else timeout)
        if not self.faults.tiny_reads:
            data, self._ready = self._ready, b""
        else:
            data, self._ready = self._ready[:1], self._ready[1:]
        return data

    def _read(self, size: int, timeout: float) -> bytes:
        if self.faults.rate:
            size = min(size, max(1, self.faults.rate // 50))
        data = self.host.read(self, size, timeout) if self.host else None
        if data is None:
            data = self.spawn.read_nonblocking(size, timeout)
        if self.faults.delay:
            time.sleep(self.fate.random.random() * self.faults.delay)
        if self.faults.rate:
            time.sleep(len(data) / self.faults.rate)
        if not self.armed:
            return bytes(data)
        whole, data = data, self._until_cut("out", data)
        if self.host and len(data) < len(whole):
            self.host.left(whole[len(data) :])
        if self.exact:
            data = self.exact.apply("out", data)
        return self.fate.sent(data)

    def _until_cut(self, way: str, data: bytes) -> bytes:
        """Return what of `data` passes before the line ends, if it does."""
        at = next(iter(self.fate.cuts[way].hits(len(data))), None)
        if self.cut_at is not None and self.cut_at[0] == way:
            left = self.cut_at[1] - self.passed[way]
            if 0 <= left <= len(data):
                at = left
        if at is not None:
            data = data[:at]
            self.cut()
        self.passed[way] += len(data)
        return data

    def send(self, data: bytes) -> int:
        if self.ended:
            raise pexpect.EOF("the line was cut")
        if not self.armed:
            self._put(data)
            return len(data)
        if self.fate.random.random() < self.faults.echo:
            self._echo_on()
        kept = self._until_cut("in", data)
        if self.exact:
            kept = self.exact.apply("in", kept)
        self._put(self.fate.typed(kept))
        return len(data)

    def _put(self, data: bytes) -> None:
        if self.host:
            self.host.typed += len(data)
            if self.host.answers_status and b"\x14" in data:
                data = data.replace(b"\x14", b"")
                self._extra.append(status_line(self.spawn))
        if not self.faults.queue:
            self.spawn.send(data)
            return
        # The tty takes what its queue has room for; the rest is dropped, each byte with a BEL.
        for start in range(0, len(data), 16):
            piece = data[start : start + 16]
            room = self.faults.queue - _unread(self.spawn)
            if room > 0:
                self.spawn.send(piece[:room])
            if room < len(piece):
                self._extra.append(b"\x07" * (len(piece) - max(0, room)))

    def _echo_on(self) -> None:
        mode = termios.tcgetattr(self.spawn.child_fd)
        mode[3] |= termios.ECHO
        termios.tcsetattr(self.spawn.child_fd, termios.TCSANOW, mode)
        self.spawn.setwinsize(24, 80)

    def close(self, force: bool = False) -> None:
        if self.host is None:
            self.spawn.close(force=force)
        elif not self.ended:
            self.cut()


def status_line(spawn: Any) -> bytes:
    """What FreeBSD's terminal prints for ^T (tty_info): the newest process in the foreground."""
    group = os.tcgetpgrp(spawn.child_fd)
    newest = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group and fields[0] != "Z":
                    newest = max(newest, int(entry.name))
    name, where = "sh", "running"
    with contextlib.suppress(OSError, IndexError):
        name = Path(f"/proc/{newest}/comm").read_text().strip()
        where = Path(f"/proc/{newest}/wchan").read_text().strip()
        if b"read who" in Path(f"/proc/{newest}/cmdline").read_bytes():
            name = "getty"
    name = "sh" if name in {"dash", "busybox", "bash"} else name
    reads = newest == spawn.pid and where in {"n_tty_read", "wait_woken"}
    state = "ttyin" if reads else "nanslp"
    return f"load: 0.12  cmd: {name} {newest} [{state}] 1.00r 0.00u 0.00s 0% 1234k\r\n".encode()


def _unread(spawn: Any) -> int:
    """How many bytes the tty of `spawn` holds that its reader has not taken (whole lines)."""
    with open(f"/proc/{spawn.pid}/fd/0", "rb", buffering=0) as tty:
        return int(struct.unpack("i", fcntl.ioctl(tty, termios.FIONREAD, b"\0" * 4))[0])


class Host:
    """A target whose shell lives on when a line to it is cut, behind a server as QEMU has one.

    While nobody is connected what the shell prints is lost, as QEMU loses it, or with `keeps` it
    waits, as on a terminal server. With `answers_status` its terminal answers ^T as FreeBSD's does.
    """

    def __init__(
        self,
        kind: str = "dash",
        faults: Faults | None = None,
        seed: int = 1,
        *,
        keeps: bool = False,
        answers_status: bool = False,
    ) -> None:
        self.boot = Path(tempfile.mkdtemp(prefix="zrwizard-boot-")) / "boot"
        self.boot.write_text("1")
        self.kind = kind
        self.keeps = keeps
        self.answers_status = answers_status
        self.fate = Fate(faults or Faults(), seed)
        self.spawn = spawn_shell(kind, self.boot)
        self.typed = 0
        self.lines: list[LyingLine] = []
        self.armed = False
        self.refuse = 0
        self.on_cut_do: list[Callable[[], None]] = []
        self._draining: threading.Thread | None = None
        self._stop = threading.Event()
        self._reading = threading.Lock()
        self._kept = b""

    @property
    def frames_seen(self) -> list[bytes]:
        """Frames that the target has sent, the newest last."""
        return list(self.fate.frames)

    def connect(self) -> LyingLine:
        """Return a new line to the shell; raises `LineError` while `refuse` says so."""
        if self.refuse:
            self.refuse -= 1
            raise LineError("nobody listens there (connection refused)")
        self._stop.set()
        if self._draining:
            self._draining.join()
            self._draining = None
        line = LyingLine(self.spawn, self.fate.faults, 0, self)
        line.armed = self.armed
        self.lines.append(line)
        return line

    def read(self, line: LyingLine, size: int, timeout: float) -> bytes:
        """Return what `line` reads; one that ended takes nothing from the next."""
        with self._reading:
            if line.ended:
                raise pexpect.EOF("the line was cut")
            if self._kept:
                data, self._kept = self._kept, b""
                return data
            data = bytes(self.spawn.read_nonblocking(size, min(timeout, 0.05)))
            if line.ended:
                self.left(data)
                raise pexpect.EOF("the line was cut")
            return data

    def left(self, data: bytes) -> None:
        """Keep or lose what was printed when the line had ended."""
        if self.keeps:
            self._kept += data

    def on_cut(self) -> None:
        """The line ended: what is printed from now on is lost, or waits."""
        while self.on_cut_do:
            self.on_cut_do.pop()()
        if self.keeps:
            return
        self._stop.clear()
        self._draining = threading.Thread(target=self._drain, daemon=True)
        self._draining.start()

    def _drain(self) -> None:
        while not self._stop.is_set():
            try:
                with self._reading:
                    self.spawn.read_nonblocking(65536, 0.02)
            except pexpect.TIMEOUT:
                continue
            except (pexpect.EOF, OSError, ValueError):
                return

    def restart(self, wipe: Path | None = None, *, login: bool = True) -> None:
        """Power off and on: another boot, and a login first; `wipe` was on a memory disk."""
        self._stop.set()
        with self._reading:
            self._again(wipe, login)

    def _again(self, wipe: Path | None, login: bool) -> None:
        self._kept = b""
        self.spawn.close(force=True)
        self.boot.write_text(str(int(self.boot.read_text()) + 1))
        if wipe:
            for path in sorted(wipe.rglob("*"), reverse=True):
                path.unlink() if path.is_file() or path.is_symlink() else path.rmdir()
            wipe.rmdir()
        self.spawn = spawn_shell(self.kind, self.boot, login=login)

    def end(self) -> None:
        """Stop everything."""
        self._stop.set()
        if self.lines and not self.lines[-1].ended:
            self.lines[-1].ended = True
        with self._reading:
            # Whoever still read from a closed descriptor would take another file's bytes.
            self.spawn.close(force=True)
        self.boot.unlink()
        self.boot.parent.rmdir()


def root_in_name(directory: Path) -> Path:
    """A directory with an id(1) that says root, for people who run the tests as themselves."""
    directory.mkdir(exist_ok=True)
    (directory / "id").write_text("#!/bin/sh\necho 0\n")
    (directory / "id").chmod(0o755)
    return directory


def _tools() -> Path:
    """id(1), a sysctl(8) that knows the boot, and what makes `exec /bin/sh` start our kind."""
    directory = Path(tempfile.gettempdir()) / f"zrwizard-id-{os.getpid()}"
    if (directory / "ready").exists():
        return directory
    root_in_name(directory)
    (directory / "sysctl").write_text(
        '#!/bin/sh\n[ -n "$ZR_BOOT" ] && exec cat "$ZR_BOOT"\nexit 1\n'
    )
    (directory / "sysctl").chmod(0o755)
    # Here /bin/sh is dash whatever kind the tests are about: the first `exec /bin/sh` becomes
    # the kind's own, with an alias that the shell then started does not have any more.
    (directory / "env").write_text(
        '[ -n "$ZR_EXECED" ] || { export ZR_EXECED=1; alias exec="exec $ZR_KIND #"; }\n'
    )
    (directory / "ready").write_text("")
    return directory


def as_login_does() -> None:
    """Give a shell the signals that login(1) gives it, however the tests were started.

    Behind `nohup` or `&` ^C is ignored, and by dash then for good, and Python ignores SIGPIPE.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def spawn_shell(kind: str = "dash", boot: Path | None = None, *, login: bool = False) -> Any:
    """Return a pty with a shell of `kind` at its prompt, or, with `login`, at `login: ` first."""
    program, args = SHELLS[kind]
    tools = _tools()
    itself = " ".join([program, *args])
    env = {
        "PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin",
        "PS1": "# ",
        "TERM": "vt100",
        "ENV": str(tools / "env"),
        "ZR_KIND": itself,
        "ZR_BOOT": str(boot or ""),
    }
    if login:
        banner = r"\r\nFreeBSD/amd64 (hostA) (ttyu0)\r\n\r\nlogin: "
        program, args = "/bin/sh", ["-c", f"printf '{banner}'; read who; exec {itself}"]
    spawn = pexpect.spawn(
        program, args, env=env, dimensions=(24, 80), maxread=65536, preexec_fn=as_login_does
    )
    spawn.delaybeforesend = spawn.delayafterread = None
    spawn.delayafterclose = spawn.delayafterterminate = 0.02
    return spawn


def open_session(
    kind: str = "dash",
    faults: Faults | None = None,
    seed: int = 1,
    *,
    token: str = "abc123",
    log: Path | None = None,
    secrets: Secrets | None = None,
    cancel: threading.Event | None = None,
) -> tuple[ShellSession, LyingLine]:
    """Return a session over a lying line, which lies as soon as the session is there."""
    line = LyingLine(spawn_shell(kind), faults or Faults(), seed)
    line.armed = False
    secrets = secrets or Secrets()
    console = Console(line, Transcript(log, secrets, "test"), cancel or threading.Event())
    session = ShellSession(
        console, token, password=lambda: secrets.get("console"), on_state=lambda _: None
    )
    line.armed = True
    return session, line


def open_on(
    host: Host,
    *,
    token: str,
    log: Path | None = None,
    secrets: Secrets | None = None,
    armed: bool = False,
    reconnect_for: float = 60.0,
) -> ShellSession:
    """Return a session on `host` that opens its line again; `armed` lies from the first byte on."""
    host.armed = armed
    secrets = secrets or Secrets()
    console = Console(host.connect(), Transcript(log, secrets, "test"), threading.Event())
    try:
        session = ShellSession(
            console,
            token,
            password=lambda: secrets.get("console"),
            on_state=lambda _: None,
            reopen=host.connect,
            reconnect_for=reconnect_for,
        )
    except BaseException:
        console.close()
        raise
    host.armed = host.lines[-1].armed = True
    return session


_tokens = itertools.count()


@contextlib.contextmanager
def session_on(host: Host, **more: object) -> Iterator[ShellSession]:
    """A session as `open_on` opens one, with a token of its own; nothing is left of it and `host`.
    """
    session = open_on(host, token=f"{os.getpid():x}c{next(_tokens):04x}", **more)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        session.console.close()
        host.end()
        os.system(f"rm -rf {session.home}")

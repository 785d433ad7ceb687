"""Trials that send a stream: one that comes back, and one whose line is cut in the middle."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import Iterator

from zrwizard.freebsd import sh, zfs
from zrwizard.keyring.channel import Channel
from zrwizard.keyring.dial import Dial
from zrwizard.keyring.holding import BUSY, Server, TrialError, failed
from zrwizard.keyring.store import Keyring
from zrwizard.run.operator import OperatorError, Say

TRIAL = "zr-trial"
"""The dataset that a trial makes below the pool; the name is ours."""
SOURCE = "zr-trial-source"
"""The dataset whose stream is cut, so that the rest can be sent again."""
SNAPSHOT = "trial"

CONTENT = 320 << 10
"""Bytes of random data that are to come back."""
LONG = 8 << 20
"""Bytes of random data in the stream that is cut."""
PIECES = 32
PAUSE = 0.1
"""Seconds between two pieces of a stream that is sent slowly."""
NOTICED = 60.0
"""Seconds within which a cut line must have closed everything."""
ON_DISK = 45.0
"""Seconds to wait until some of a stream is on the disk; ZFS writes every 5 seconds or so."""
TOO_LARGE = 256 << 20
_SLOW = 600.0
_PLACE = f"/tmp/{TRIAL}"  # noqa: S108 - mktemp makes it, mode 700


def receive(keyring: Keyring, dial: Dial, say: Say, port: int) -> str:
    """Data made here goes into the pool through the key that receives, and comes back."""
    server = Server(keyring, dial, say, port)
    content = secrets.token_bytes(CONTENT)
    full = f"{server.pool}/{TRIAL}"
    with server.held(), _place(server) as place, _cleaned(server):
        _make(server, full, place, content)
        guid, sent = _guid(server, full), _send(server, full)
        server.login("zfs", "destroy", "-r", full)
        server.ask(f"receive {TRIAL}", stdin=sent, timeout=_SLOW)
        if _guid(server, full) != guid:
            raise TrialError(
                "What was received is not the snapshot that was sent: its guid differs.",
                "Look at zpool status on the server, then try again.",
            )
        if _read(server, full, place) != content:
            raise TrialError(
                "What was received does not hold the data that was sent.",
                "Do not trust this disk or this line: look at zpool status on the server.",
            )
        back = _send(server, full)
    # Both streams are of the same snapshot, but ZFS does not promise the same bytes twice.
    same = hashlib.sha256(back).digest() == hashlib.sha256(sent).digest()
    return (
        f"{CONTENT >> 10} KiB made on this machine went into {server.pool} as a stream of "
        f"{len(sent)} bytes through the key that receives; the snapshot has its guid {guid}, and "
        "was read back the same to the byte"
        + (", as was its stream." if same else "; its stream came back too.")
    )


def cut(keyring: Keyring, dial: Dial, say: Say, port: int) -> str:
    """The line is cut in the middle of a stream: all closes by itself, and the rest can follow."""
    server = Server(keyring, dial, say, port)
    full, source = f"{server.pool}/{TRIAL}", f"{server.pool}/{SOURCE}"
    before = server.attached()
    with server.held(), _place(server) as place, _cleaned(server, keep=SOURCE):
        _make(server, source, place, None)
        guid, stream = _guid(server, source), _send(server, source)
    try:
        written = _send_half(server, stream, before)
        took = _noticed(server, before)
        with server.held():
            how = _go_on(server, full, guid)
            _remove(server, TRIAL)
            _remove(server, SOURCE)
    except OperatorError:
        _clean_later(server)
        raise
    closed = "exported and detached" if server.vault else "given up by the receiver"
    return (
        f"ssh was killed in the middle of a stream ({written >> 10} KiB of {len(stream) >> 10} "
        f"KiB were on the disk): the pool was {closed} after {took:.0f} s. {how} A line that dies "
        "silently is noticed later, by sshd's ClientAliveInterval; that was not measured."
    )


# --- cut ----------------------------------------------------------------------------------------


def _send_half(server: Server, stream: bytes, before: frozenset[str]) -> int:
    """Send the first half slowly, see that some is on the disk, and kill ssh; bytes on the disk."""
    channel = server.dial.open("receive", f"receive {TRIAL}", server.port)
    try:
        if server.vault:
            server.deliver(channel)
        base = _opened(server, channel, before)
        half = len(stream) // 2
        size = half // PIECES + 1
        for start in range(0, half, size):
            channel.send(stream[start : min(start + size, half)])
            time.sleep(PAUSE)
        written = _on_disk(server, base, half // 2)
        server.say(f"receive: receive {TRIAL}: cut after {half} of {len(stream)} bytes")
        return written
    finally:
        channel.cut()


def _opened(server: Server, channel: Channel, before: frozenset[str]) -> int:
    """Wait until the receiver has opened the pool; the bytes allocated in it."""
    until = time.monotonic() + NOTICED
    while time.monotonic() < until:
        base = server.allocated()
        if base is not None and (not server.vault or server.attached() - before):
            return base
        time.sleep(1)
    late = TrialError(
        f"The pool was not opened for the stream within {NOTICED:.0f} seconds.",
        "Look at zpool import on the server, then try again.",
    )
    raise server.reason(channel, late)


def _on_disk(server: Server, base: int, wanted: int) -> int:
    """Wait until `wanted` more bytes than `base` are allocated; how many are, above 0."""
    until = time.monotonic() + ON_DISK
    grown = 0
    while grown < wanted and time.monotonic() < until:
        time.sleep(1)
        grown = (server.allocated() or base) - base
    if grown <= 0:
        raise TrialError(
            f"Nothing of the stream was on the disk after {ON_DISK:.0f} seconds.",
            "Look at zpool iostat on the server: the disk is too slow or the receiver reads "
            "nothing.",
        )
    return grown


def _noticed(server: Server, before: frozenset[str]) -> float:
    """Seconds from the cut until nothing is open; TrialError after `NOTICED`."""
    if not server.vault:
        return _free(server)
    took = server.same_as_before(before, NOTICED)
    if took is None:
        raise TrialError(
            f"{NOTICED:.0f} seconds after the line was cut the disk is still attached.",
            f"Export it by hand ({sh.command('zpool', 'export', server.pool)}), detach it, and "
            "install the receiver again.",
        )
    server.say(f"login: geli status and zpool list show nothing of it after {took:.1f} s")
    return took


def _free(server: Server) -> float:
    """A plain pool stays imported: wait until its receiver lets somebody else in; seconds."""
    began = time.monotonic()
    while True:
        reply = server.run("receive", "hold")
        took = time.monotonic() - began
        if reply.status == 0:
            return took
        if reply.status != BUSY:
            raise failed("The hold after the cut", reply)
        if took > NOTICED:
            raise TrialError(
                f"{NOTICED:.0f} seconds after the line was cut the receive still runs.",
                "End zfs receive on the server by hand, and install the receiver again.",
            )
        time.sleep(1)


def _go_on(server: Server, full: str, guid: str) -> str:
    """Send what is missing from the resume token, or abandon what is there; a sentence."""
    token = server.ask(f"token {TRIAL}").decode("ascii", "replace").strip()
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z-]{7,8191}", token):
        raise TrialError(
            "Nothing of the cut stream was kept: there is no resume token.",
            "The receiver must call zfs receive with -s: install it again.",
        )
    reply = server.run("login", sh.command("zfs", "send", "-t", token), timeout=_SLOW)
    if reply.status != 0:
        server.ask(f"abandon {TRIAL}")
        said = (reply.err.strip().splitlines() or ["nothing"])[-1][:200]
        return f"The rest could not be sent ({said}), so what was there was abandoned."
    server.ask(f"receive {TRIAL}", stdin=reply.out, timeout=_SLOW)
    if _guid(server, full) != guid:
        raise TrialError(
            "What the resumed stream made is not the snapshot that was sent: its guid differs.",
            "Look at zpool status on the server, then try again.",
        )
    return (
        f"From the resume token the other {len(reply.out) >> 10} KiB were sent, and the snapshot "
        "is whole."
    )


def _clean_later(server: Server) -> None:
    """Remove what an act left that failed while nothing was open; the next act does it else."""
    try:
        with server.held():
            _remove(server, TRIAL)
            _remove(server, SOURCE)
    except OperatorError as error:
        server.say(f"{TRIAL} and {SOURCE} may be left; the next trial removes them. {error.what}")


# --- one dataset --------------------------------------------------------------------------------


def _make(server: Server, full: str, place: str, content: bytes | None) -> None:
    """Make the dataset with one file of `content`, or of random data of the server's, and snap."""
    options = ("canmount=noauto", f"mountpoint={place}", "readonly=off")
    words = [word for option in options for word in ("-o", option)]
    server.login("zfs", "create", *words, full)
    server.login("zfs", "mount", full)
    if content is not None:
        server.login("dd", f"of={place}/data", "bs=65536", stdin=content, timeout=_SLOW)
    else:
        count = f"count={LONG // 65536}"
        server.login("dd", "if=/dev/random", f"of={place}/data", "bs=65536", count, timeout=_SLOW)
    server.login("zfs", "unmount", full)
    server.login("zfs", "snapshot", f"{full}@{SNAPSHOT}")


def _read(server: Server, full: str, place: str) -> bytes:
    """Return the file of the dataset, which is mounted read-only meanwhile."""
    # Not mounted by the second command only because of the first (no `set -u` on 13, facts E).
    server.login("zfs", "set", "canmount=noauto", full)
    server.login("zfs", "set", f"mountpoint={place}", full)
    server.login("zfs", "mount", "-o", "ro", full)
    content = server.login("cat", f"{place}/data", timeout=_SLOW)
    server.login("zfs", "unmount", full)
    return content


def _guid(server: Server, full: str) -> str:
    argv = ("zfs", "get", "-Hp", "-o", "value", "guid", f"{full}@{SNAPSHOT}")
    return server.login(*argv).decode("ascii", "replace").strip()


def _send(server: Server, full: str) -> bytes:
    """Return the stream of the snapshot, which comes to this machine."""
    return server.login("zfs", "send", f"{full}@{SNAPSHOT}", timeout=_SLOW)


@contextlib.contextmanager
def _place(server: Server) -> Iterator[str]:
    """A private directory on the server to mount at; gone afterwards."""
    place = server.login("mktemp", "-d", f"{_PLACE}.XXXXXXXX").decode("ascii", "replace")
    place = place.strip()
    if not re.fullmatch(re.escape(_PLACE) + r"\.[0-9A-Za-z]+", place):
        raise TrialError("The server made no private directory.", "Try mktemp -d there.")
    try:
        yield place
    finally:
        with contextlib.suppress(OperatorError):
            server.run("login", sh.command("rmdir", place))


@contextlib.contextmanager
def _cleaned(server: Server, keep: str = "") -> Iterator[None]:
    """Remove what earlier trials left, and what this one makes, but for `keep` if all is well."""
    _remove(server, TRIAL)
    _remove(server, SOURCE)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OperatorError):
            _remove(server, TRIAL)
            _remove(server, SOURCE)
        raise
    for name in (TRIAL, SOURCE):
        if name != keep:
            _remove(server, name)


def _remove(server: Server, name: str) -> None:
    """Destroy the trial's dataset `name`, whole or half received; TrialError if it stays."""
    full = f"{server.pool}/{name}"
    reply = server.run("login", sh.command("zfs", "get", "-Hp", "-o", "value", "used", full))
    if reply.status != 0:
        return
    used = reply.out.strip()
    if not used.isdigit() or int(used) > TOO_LARGE:
        raise TrialError(
            f"There is a dataset {full} that is too large for a trial's; it is left alone.",
            "Give it another name with zfs rename: trials use this one.",
        )
    if server.run("login", sh.command("zfs", "destroy", "-r", full)).status != 0:
        # Half a stream into a dataset that was there is dropped by -A only.
        server.run("login", sh.command("zfs", "receive", "-A", full))
        server.run("login", sh.command("zfs", "destroy", "-r", full))
    if server.run("login", zfs.exists(full)).status == 0:
        raise TrialError(
            f"The trial's dataset {full} does not go away.",
            f"Destroy it by hand: {sh.command('zfs', 'destroy', '-r', full)}.",
        )

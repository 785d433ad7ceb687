"""zfs-receive(8): the command, its log as it grows, and what receiving complains about."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from . import sh, size, ssh_dialogue, zfs_send
from .errors import Diagnosis, ParseError, diagnose, rule

_KEPT = 50
# OpenZFS 2.2 may put the word `corrective` between, with or without blanks around it.
_START = re.compile(
    r"(?:receiving|would receive)\s*(?:corrective\s*)?(full|incremental) stream of "
    r"(.+@.+?) into (.+@.+)"
)
_END = re.compile(
    r"received (\S+) stream in (\d{1,12}(?:\.\d{1,6})?) seconds \((\S+)/sec\)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Receiving:
    """A stream that has begun: where it comes from and the snapshot that it becomes here."""

    source: str
    target: str
    incremental: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A finished stream. `bytes` is rounded to the digits printed, `seconds` whole on 13."""

    stream: Receiving
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReceiveLog:
    """What the log of `zfs receive -v` said so far. Feed it what was added since.

    `other` keeps the last lines that are neither start nor end of a stream: complaints of
    zfs(8) and ssh(1), and lines of the kernel.
    """

    finished: tuple[Received, ...] = ()
    current: Receiving | None = None
    other: tuple[str, ...] = ()
    partial: str = ""

    @property
    def bytes(self) -> int:
        """Bytes of all finished streams, each rounded as printed."""
        return sum(done.bytes for done in self.finished)

    def feed(self, added: str) -> ReceiveLog:
        """The log with `added` behind it; an unfinished last line waits for its rest."""
        *complete, partial = (self.partial + added).split("\n")
        finished: list[Received] = []
        current, other = self.current, list(self.other)
        for raw in complete:
            line = raw.replace("\r", "").strip()
            started = _START.search(line)
            ended = _END.search(line)
            if started:
                current = Receiving(started[2], started[3], started[1] == "incremental")
            elif ended and current:
                try:
                    count = size.parse_zfs(ended[1])
                except ParseError:
                    other.append(line)
                    continue
                finished.append(Received(current, count, float(ended[2])))
                current = None
            elif line:
                other.append(line)
        return replace(
            self,
            finished=(*self.finished, *finished) if finished else self.finished,
            current=current,
            other=tuple(other[-_KEPT:]),
            partial=partial,
        )


# --- commands ---------------------------------------------------------------------------------


def receive(target: str) -> str:
    """Command: receive a replication stream into `target`, mounting nothing.

    -F lets the pool's own root be overwritten: use it on a fresh pool only (facts C5).
    """
    return sh.command("zfs", "receive", "-v", "-Fu", target)


def parse_log(output: str) -> ReceiveLog:
    """A whole log at once; a last line without its end counts as complete. Never raises."""
    return ReceiveLog().feed(output + "\n")


# --- complaints -------------------------------------------------------------------------------

_RULES = (
    rule(
        "exists",
        r"destination '(?P<name>[^']*)' exists\n",
        "{name} exists already on the target.",
        "Start from an empty pool, or let the run clear what an earlier try left.",
    ),
    rule(
        "exists",
        r"cannot restore to (?P<name>\S+): destination already exists",
        "The snapshot {name} exists already on the target.",
        "Start from an empty pool, or let the run clear what an earlier try left.",
    ),
    rule(
        "has snapshots",
        r"destination has snapshots \(eg\. (?P<name>[^)]*)\)",
        "The target holds snapshots such as {name}.",
        "Let the run clear what an earlier try left, then receive again.",
    ),
    rule(
        "does not match",
        r"most recent snapshot of (?P<name>\S+) does not\s+match incremental source",
        "{name} is not at the snapshot that the stream builds upon.",
        "Clear the target and send in full.",
    ),
    rule(
        "modified",
        r"destination (?P<name>\S+) has been modified\s+since most recent snapshot",
        "{name} was changed since its last snapshot.",
        "Unmount it, and receive again with -F.",
    ),
    rule(
        "no base",
        r"destination '(?P<name>[^']*)' does not exist|parent '(?P<parent>[^']*)' is not a file",
        "{name}{parent} is missing on the target, or cannot hold datasets.",
        "Send in full into a fresh pool.",
    ),
    rule(
        "partial state",
        r"destination (?P<name>\S+) contains partially-complete state",
        "{name} holds half of a stream that was interrupted.",
        "Resume it with its token, or drop it with zfs receive -A.",
    ),
    rule(
        "out of space",
        r"out of space|space quota exceeded",
        "The pool on the target is full.",
        "Restore to a larger disk.",
    ),
    rule(
        "busy",
        r"cannot [^\n:]*: dataset is busy",
        "A dataset on the target is busy: another receive runs, or it is mounted.",
        "Wait for the other receive or unmount, then try again.",
    ),
    rule(
        "cut off",
        r"checksum mismatch or incomplete stream|incomplete stream",
        "The stream ended too early: the connection or the sender died.",
        "Look at the connection to the server, then run the restore again.",
    ),
    rule(
        "damaged",
        r"checksum mismatch",
        "The stream arrived damaged.",
        "Suspect memory or network hardware; run the restore again.",
    ),
    rule(
        "not a stream",
        r"invalid stream \(bad magic number\)|invalid stream",
        "What arrived was no ZFS stream: text of a login script or banner was mixed in.",
        "Make the login on the server print nothing for commands without a terminal.",
    ),
    rule(
        "nothing arrived",
        r"failed to read from stream",
        "Nothing arrived: ssh or zfs send on the server failed at once.",
        "The line above in the log says why; check the connection and the snapshot's name.",
    ),
    rule(
        "encryption",
        r"cannot be used to destroy an encrypted|inherited key must be loaded",
        "Encryption of the target and of the stream do not fit together.",
        "Receive into an unencrypted pool.",
    ),
    rule(
        "too new",
        r"kernel modules must be upgraded|stream has unsupported feature",
        "The stream uses features that the system on the target does not know.",
        "Boot a newer install medium.",
    ),
    rule(
        "from a terminal",
        r"Backup stream can not be read from a terminal",
        "zfs receive got the terminal instead of a stream.",
        "This is a fault of the wizard; please report it.",
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """What a known complaint in the log of a transfer means and what to do now. Facts C5.

    `nothing arrived` and `cut off` only say that the left side of the pipe failed, so a reason
    given by zfs send or ssh goes first; that a sender lost its receiver is nobody's reason.
    """
    found = diagnose(_RULES, stderr if stderr.endswith("\n") else stderr + "\n")
    if found is not None and found.kind not in ("nothing arrived", "cut off"):
        return found
    sender = zfs_send.explain(stderr)
    if sender is not None and sender.kind != "receiver left":
        return sender
    return ssh_dialogue.explain(stderr) or found or sender

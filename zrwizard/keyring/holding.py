"""A server that is being tried: commands by the login key, requests by the other two, a hold.

The receiver's words and exit codes are those of `zrwizard.receiver`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from zrwizard.freebsd import geli, sh
from zrwizard.freebsd.errors import ParseError
from zrwizard.keyring.channel import Channel, DialError, Reply, Who
from zrwizard.keyring.dial import Dial
from zrwizard.keyring.store import GELI_KEY, VAULT, Keyring
from zrwizard.run.events import Exit
from zrwizard.run.operator import OperatorError, Say

READY = 240.0
"""Seconds until the disk is spun up, attached and its pool imported, at the most."""
CLOSED = 120.0
"""Seconds for exporting and detaching."""
PATIENCE = 60.0
"""Seconds for which the key is offered again to a session that is slow to ask for it."""
IN_VAIN = 70
"""The receiver's exit status where somebody waited in vain."""
BUSY = 75
"""The receiver's exit status while another session has the disk."""
_AGAIN = 1.0

_REASONS = {
    64: ("the receiver was called wrongly", "Install the receiver and its certificates again."),
    69: (
        "the backup disk is not there",
        "Check that the disk is plugged in and has power; it is known by its serial number.",
    ),
    IN_VAIN: ("it waited in vain", "Check that nothing else uses the disk, then try again."),
    74: (
        "the disk or its pool could not be opened",
        "Look at geli status and zpool import at the server's own console.",
    ),
    BUSY: ("another session has the disk", "Wait until it is done, then try again."),
    77: ("it is not allowed", "Install the receiver and its certificates again."),
}
_NO_REASON = ("it failed", "Look at the server's own console, then try again.")


class TrialError(OperatorError):
    """The server did not do what a good one does: what happened, and what to do now."""

    def __init__(self, what: str, now: str) -> None:
        super().__init__(what, now, Exit.FAILED)


def failed(what: str, reply: Reply) -> TrialError:
    """Return why `what` ended with another status than 0, by the receiver's exit codes."""
    reason, now = _REASONS.get(reply.status, _NO_REASON)
    last = [row.strip() for row in reply.err.splitlines() if row.strip()][-1:] or ["nothing"]
    return TrialError(f"{what}: {reason} (status {reply.status}; it said: {last[0][:200]}).", now)


@dataclass(frozen=True, slots=True)
class Server:
    """The server of `keyring`, reached by `dial` on the TCP port `port`; `say` hears all."""

    keyring: Keyring
    dial: Dial
    say: Say
    port: int

    @property
    def vault(self) -> bool:
        """Whether its disk is encrypted."""
        return self.keyring.record.shape == VAULT

    @property
    def pool(self) -> str:
        """The pool's name; TrialError where the keyring does not know it."""
        if not self.keyring.record.pool:
            raise TrialError(
                f"The keyring of {self.keyring.name} does not know the pool's name.",
                "Issue the certificates first: they record it.",
            )
        return self.keyring.record.pool

    # --- commands -------------------------------------------------------------------------------

    def login(self, *argv: str, stdin: bytes = b"", timeout: float = 60.0) -> bytes:
        """Run a command by the login key and return its output; TrialError unless it succeeds."""
        reply = self.run("login", sh.join(argv), stdin=stdin, timeout=timeout)
        if reply.status != 0:
            raise failed(f"“{sh.join(argv)}” on the server", reply)
        return reply.out

    def ask(self, request: str, *, stdin: bytes = b"", timeout: float = 120.0) -> bytes:
        """Make a request by the key that receives; TrialError unless it succeeds."""
        reply = self.run("receive", request, stdin=stdin, timeout=timeout)
        if reply.status != 0:
            raise failed(f"The request “{request}”", reply)
        return reply.out

    def run(self, who: Who, command: str, *, stdin: bytes = b"", timeout: float = 60.0) -> Reply:
        """`Dial.run`, told to whoever listens."""
        began = time.monotonic()
        reply = self.dial.run(who, command, self.port, stdin=stdin, timeout=timeout)
        took = f"status {reply.status}, {time.monotonic() - began:.1f} s"
        size = f", {len(stdin)} bytes in" if stdin and who != "deliver" else ""
        size += f", {len(reply.out)} bytes out" if reply.out else ""
        self.say(f"{who}: {command or 'the key'} ({took}{size})")
        return reply

    # --- what is open there ---------------------------------------------------------------------

    def attached(self) -> frozenset[str]:
        """Return the geli providers that are attached; none where the class is not loaded."""
        reply = self.dial.run("login", geli.status(), self.port)
        if reply.status != 0:
            return frozenset()
        try:
            rows = geli.parse_status(reply.out.decode("utf-8", "replace"))
        except ParseError as error:
            raise TrialError(str(error), "Look at geli status on the server.") from None
        return frozenset(row.name for row in rows)

    def allocated(self) -> int | None:
        """Return the bytes allocated in the pool, None where it is not imported."""
        reply = self.dial.run(
            "login", sh.command("zpool", "list", "-Hp", "-o", "allocated", self.pool), self.port
        )
        text = reply.out.strip()
        return int(text) if reply.status == 0 and text.isdigit() else None

    def same_as_before(self, before: frozenset[str], seconds: float) -> float | None:
        """Wait until the pool is gone and nothing is attached that was not `before`.

        Returns the seconds that it took, None where it was not so within `seconds`.
        """
        began = time.monotonic()
        while True:
            if self.attached() <= before and self.allocated() is None:
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                return None
            time.sleep(_AGAIN)

    # --- opening it -----------------------------------------------------------------------------

    def deliver(self, waiting: Channel) -> None:
        """Send the geli key by the key that delivers it, to the session that waits for it.

        Raises its reason where it does not wait any more, TrialError where the disk takes no key.
        """
        key = self.keyring.secret(GELI_KEY, "geli-key").reveal()
        until = time.monotonic() + PATIENCE
        while True:
            reply = self.run("deliver", "", stdin=key, timeout=READY)
            if reply.status == 0:
                return
            error = failed("The delivery of the disk's key", reply)
            if reply.status != IN_VAIN or time.monotonic() > until:
                raise self.reason(waiting, error)
            # It came too early, or to nobody: a disk may take its time to spin up.
            try:
                waiting.line(_AGAIN)
            except DialError as gone:
                if gone.kind != "silent":
                    raise self.reason(waiting, gone) from None
            else:
                raise error

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep the pool open meanwhile; afterwards the receiver must say that it closed it.

        Where the inside fails the hold is ended in order too, and the failure goes on.
        """
        channel = self.dial.open("receive", "hold", self.port)
        try:
            self._open(channel)
            try:
                yield
            except BaseException:
                with contextlib.suppress(OperatorError):
                    channel.finish(CLOSED)
                raise
            self._close(channel)
        finally:
            channel.cut()

    def _open(self, channel: Channel) -> None:
        began = time.monotonic()
        if self.vault:
            self.deliver(channel)
        try:
            row = channel.line(READY)
        except DialError as error:
            raise self.reason(channel, error) from None
        if row != b"ready":
            raise _odd("ready", row)
        self.say(f"receive: hold: ready after {time.monotonic() - began:.1f} s")

    def reason(self, channel: Channel, error: OperatorError) -> OperatorError:
        """Return why a session came to nothing: its own reason where it has one, else `error`."""
        with contextlib.suppress(DialError):
            reply = channel.finish(CLOSED)
            if reply.status != 0:
                return failed("The session with the disk", reply)
        return error

    def _close(self, channel: Channel) -> None:
        channel.end()
        try:
            row = channel.line(CLOSED)
        except DialError as error:
            raise self.reason(channel, error) from None
        if row != b"closed":
            raise _odd("closed", row)
        reply = channel.finish(CLOSED)
        if reply.status != 0:
            raise failed("The end of the hold", reply)
        self.say("receive: hold: closed")


def _odd(wanted: str, row: bytes) -> TrialError:
    said = row[:80].decode("ascii", "backslashreplace")
    return TrialError(
        f"The receiver said “{said}” where “{wanted}” was due.",
        "Something else writes into the session: look at the login scripts of the server's root.",
    )

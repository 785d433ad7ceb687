"""A command whose standard input is a secret: checked parts, kept by the shell and nowhere else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from zrwizard.cksum import cksum
from zrwizard.console.errors import ConsoleError, LineCut, MachineLost, Refused
from zrwizard.secrets import MAX_BYTES, Secret
from zrwizard.shell.api import Result
from zrwizard.shell.frames import End
from zrwizard.shell.protocol import Command, Frames

if TYPE_CHECKING:
    from zrwizard.shell.session import ShellSession

BUILTIN = '[ "$(command -v printf)" = printf ]'
"""Succeeds where printf is the shell's own, so that what it prints is in no argument list."""


def feed(session: ShellSession, text: str, secret: Secret, timeout: float) -> Result:
    """Run `text` with the bytes of `secret` as its standard input; see `Shell.feed`.

    Whatever the target shows meanwhile stays out of the transcript, `text` may print the secret.
    """
    if len(secret.reveal()) > MAX_BYTES:
        raise Refused(
            f"{secret!r} is larger than {MAX_BYTES} bytes, and is not a key.", "Give the right one."
        )
    if session.run(BUILTIN).status:
        raise Refused(
            "The target's sh has no printf of its own: a secret would be seen by ps(1).",
            "Use FreeBSD's own /bin/sh. Nothing was typed.",
        )
    began = time.monotonic()
    command = Command(text, "f")

    def whole() -> Result:
        frames = session.frames
        end, gathering = frames.execute(command, timeout, begin=_carried(frames, secret))
        out, err = session.files().outputs(end, gathering)
        return Result(end.status, out, err, time.monotonic() - began)

    with session.console.transcript.withheld(repr(secret)):
        try:
            return session.through_cuts(whole)
        except (MachineLost, LineCut):
            # Nobody of ours is there to be asked; the next session of this shell does it first.
            raise
        except BaseException:
            with suppress(ConsoleError):
                forget(session.frames)
            raise


def forget(frames: Frames) -> None:
    """Have the shell forget what it holds of a secret: no answer is awaited."""
    frames.type("zu")


def _carried(frames: Frames, secret: Secret) -> Callable[[Command], End | bool | None]:
    """Return what sends a command and its secret, and runs it; see `Frames.execute`."""
    raw = secret.reveal()

    def begin(command: Command) -> End | bool | None:
        # After a cut it may have run already, and then nothing of the secret is sent again.
        over = frames.start(command.id, f"zy {command.id}")
        if over is not None:
            return over
        count = frames.send_parts(command.id, command.data)
        given = frames.send_parts(secrets.token_hex(4), raw, repr(secret), "zk")
        crc = cksum(f"{command.id}:f:{given}:{cksum(raw)}:".encode() + command.data)
        # A checksum lets guesses at a secret be tried, so it is masked like the secret.
        return frames.start(
            command.id,
            f"zy {command.id} {count} {crc} {given} {cksum(raw)}",
            shown=f"zy {command.id} {count} {secret!r}\r",
        )

    return begin

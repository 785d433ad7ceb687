"""From a root prompt to a quiet `sh` with our helpers in it, each piece of them checked."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from zrwizard.console.console import Console
from zrwizard.console.errors import NoAnswer, NotRoot
from zrwizard.shell import helpers
from zrwizard.shell.protocol import Frames, exactly
from zrwizard.shell.vanished import check_commands, check_shell

_QUIET = 0.35
_DECODERS = (b"b64decode -r", b"base64 -d", b"none")
_TAKE_OVER = "Take the console over by hand, bring it to a root prompt, and give it back."


class PlainShell:
    """Makes the shell at a root prompt ours."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def quiet(self, await_prompt: Callable[[], None]) -> None:
        """Turn the root prompt, of csh or sh, into a quiet sh: no prompt, no echo, no editing."""
        check_shell(self.console)
        self.console.write(b"exec /bin/sh\r")
        await_prompt()
        frames = Frames(self.console)
        for _ in range(4):
            self.console.write(b"\x15" + helpers.QUIET.encode() + b"\r")
            self.console.read_until_quiet(_QUIET, 3.0)
            nonce = secrets.token_hex(4)
            line = f"printf '\\036Q%s\\037' {nonce}"
            try:
                frames.ask(line, exactly(b"Q", nonce), tries=3)
                check_commands(frames)
                return
            except NoAnswer:
                continue
        raise NoAnswer("The root shell does not take commands.", _TAKE_OVER)

    def answers_status(self) -> bool:
        """Whether ^T is answered here, as FreeBSD's terminal driver does (tty_info)."""
        self.console.write(b"\x14")
        return bool(self.console.read_until_quiet(0.25, 1.0))

    def install(self, frames: Frames, token: str, home: str) -> None:
        """Put the helpers into the shell, piece by piece, each checked; then try them."""
        width = 160
        for _ in range(6):
            try:
                decoder = self._carrier(frames)
                text = helpers.program(token, home, decoder)
                count = self._carry(frames, text, width)
                whole = self._checked(frames, helpers.assemble(count), helpers.WHOLE)
                if whole != helpers.carried(helpers.WHOLE, text):
                    width = max(40, width // 2)
                    continue
            except NoAnswer:
                width = max(40, width // 2)
                continue
            self.console.write(f'eval "$Z{helpers.WHOLE}"\r'.encode())
            if frames.alive(token, tries=6):
                return
        raise NoAnswer(
            "The shell's helper functions cannot be installed over this line.",
            "Check the line's speed and cable; is this a plain sh on FreeBSD?",
        )

    def _carrier(self, frames: Frames) -> str:
        for _ in range(8):
            self.console.write(b"\x15" + helpers.CARRIER.encode() + b"\r")
            try:
                if self._checked(frames, "k 0 x", 0, tries=2) == helpers.carried(0, "x"):
                    break
            except NoAnswer:
                # A damaged definition can leave a quote open: ^C ends the unfinished line.
                self.console.write(b"\x03")
                self.console.read_until_quiet(_QUIET, 1.0)
        _, body = frames.ask(helpers.DECODER, lambda kind, body: kind == b"B" and body in _DECODERS)
        if body == b"none":
            raise NotRoot(
                "The target has neither b64decode(1) nor base64(1).",
                "Use FreeBSD install media 13 or later.",
            )
        return body.decode()

    def _carry(self, frames: Frames, text: str, width: int) -> int:
        parts = helpers.pieces(text, width)
        for number, part in enumerate(parts):
            want = f"{number}:{helpers.carried(number, part)}"
            frames.ask(f"k {number} {part}", exactly(b"K", want), tries=20)
        return len(parts)

    def _checked(self, frames: Frames, line: str, number: int, tries: int = 6) -> int:
        start = f"{number}:".encode()
        _, body = frames.ask(
            line,
            lambda kind, body: kind == b"K" and re.fullmatch(start + rb"\d+", body) is not None,
            tries=tries,
        )
        return int(body.split(b":")[1])

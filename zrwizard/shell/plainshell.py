"""From a root prompt to a quiet `sh` with our helpers in it, each piece of them checked."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable

from zrwizard.console.console import Console
from zrwizard.console.errors import NoAnswer, NotRoot
from zrwizard.shell import helpers
from zrwizard.shell.looking import STATUS
from zrwizard.shell.protocol import Accept, Frames, exactly, starting
from zrwizard.shell.vanished import check_commands, check_shell

_QUIET = 0.35
_PIECE, _SHORT_PIECE = 160, 40
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
        frames = Frames(self.console, stop=True)
        for _ in range(8):
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
        """Whether ^T is answered here, as FreeBSD's terminal driver does (tty_info).

        A kernel message that comes just then is no answer: a shell that is thought to answer, and
        does not, is not found again after a crash.
        """
        self.console.write(b"\x14")
        return STATUS.search(self.console.read_until_quiet(0.25, 1.0)) is not None

    def install(self, token: str, home: str) -> None:
        """Put the helpers into the shell, piece by piece, each checked; then try them."""
        frames = Frames(self.console, stop=True)
        for _ in range(6):
            try:
                decoder = self._carrier(frames)
                text = helpers.program(token, home, decoder)
                count = self._carry(frames, text)
                whole = f"{helpers.WHOLE}:{helpers.carried(helpers.WHOLE, text)}"
                self._script(frames, helpers.assemble(count, decoder), exactly(b"K", whole))
            except NoAnswer:
                continue
            for _ in range(8):
                frames.type(f'eval "$Z{helpers.WHOLE}"')
                if frames.alive(token, tries=2):
                    return
        raise NoAnswer(
            "The shell's helper functions cannot be installed over this line.",
            "Check the line's speed and cable; is this a plain sh on FreeBSD?",
        )

    def _carrier(self, frames: Frames) -> str:
        """Define the function that takes pieces; return the command that decodes base64."""
        for attempt in range(8):
            if attempt:
                # ^C ends an unfinished line, whatever is open in it.
                self.console.write(b"\x11\x03")
                self.console.read_until_quiet(0.1, 1.0)
            self.console.write(b"\x15" + helpers.CARRIER.encode() + b"\r")
            try:
                self._piece(frames, "0", "x", "x", 3)
                return self._decoder(frames)
            except NoAnswer:
                continue
        raise NoAnswer("The root shell does not take commands.", _TAKE_OVER)

    def _script(self, frames: Frames, text: str, accept: Accept) -> bytes:
        """Run `text`, which was carried over in checked words itself; return what it answers."""
        asked = helpers.word(text.encode()).removesuffix(",")
        words = re.findall(r"(?:\\\\0\d{3}|[^\\]){1,20}", asked)
        names = [f"x{number}" for number in range(len(words))]
        for name, word in zip(names, words, strict=True):
            self._piece(frames, name, word, word.replace("\\\\", "\\"), 40)
        # The whole once more: a line that lost one of its words would be another script.
        whole = "".join(f"$Z{name}" for name in names)
        self._piece(frames, "x", whole, asked.replace("\\\\", "\\"), 40)
        _, body = frames.ask("eval $(printf %b $Zx)", accept, tries=20)
        return body

    def _decoder(self, frames: Frames) -> str:
        body = self._script(
            frames, helpers.DECODER, lambda kind, body: kind == b"B" and _twice(body) is not None
        )
        name = _twice(body) or ""
        if name not in helpers.DECODERS:
            raise NotRoot(
                "The target has neither b64decode(1) nor base64(1).",
                "Use FreeBSD install media 13 or later.",
            )
        return helpers.DECODERS[name]

    def _piece(self, frames: Frames, name: str, piece: str, seen: str, tries: int) -> None:
        """Type one piece until the target has it as `seen`; a damaged one changes nothing there."""
        crc = helpers.carried(name, seen)
        frames.ask(
            f"k {name} {crc} {piece}",
            exactly(b"K", f"{name}:{crc}"),
            refused=starting(b"K", f"{name}:".encode()),
            tries=tries,
        )

    def _carry(self, frames: Frames, text: str) -> int:
        """Carry `text` over in pieces, which become short where they do not arrive."""
        encoded = base64.b64encode(text.encode()).decode()
        number, width = 0, _PIECE
        while encoded:
            piece = encoded[:width]
            try:
                self._piece(frames, str(number), piece, piece, 3 if width > _SHORT_PIECE else 40)
            except NoAnswer:
                if width == _SHORT_PIECE:
                    raise
                width = max(_SHORT_PIECE, width // 2)
                continue
            number, encoded = number + 1, encoded[width:]
        return number


def _twice(body: bytes) -> str | None:
    """Return the word that stands in `body` twice, so that it cannot have been damaged."""
    one, _, other = body.partition(b":")
    return one.decode("ascii", "replace") if one and one == other else None

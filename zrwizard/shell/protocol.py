"""Commands over a noisy line: exact status, exact output, run at most once; or an error.

The target's half is `helpers.py`. Every line that is typed is short, carries its own checksum and
is harmless when damaged; every answer is a frame that is either whole or not a frame. What was not
answered is asked again; the id makes that safe.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from zrwizard.cksum import cksum
from zrwizard.console.console import Console
from zrwizard.console.errors import LineCut, MachineLost, NoAnswer
from zrwizard.shell import gone
from zrwizard.shell.frames import FRAME, End, Gathering, checked, parse_end
from zrwizard.shell.helpers import MOST_PARTS, line, typed, word

_CTRL_C, _CTRL_Q, _CTRL_U = b"\x03", b"\x11", b"\x15"
# ^Q: a stray ^S, or one made of noise, holds the output. The brace: where a line lost its end the
# shell waits for what closes it.
_CLEAR = _CTRL_Q + _CTRL_U
_CLOSE = _CLEAR + b"}\r"
# For a byte that became a quote; a comment where none is open. A backquote is never closed: what it
# has swallowed would run.
_UNQUOTE = _CLEAR + b"#'\r#\"\r}\r"
_LINE = 200
_PART, _SHORT_PART = 168, 40
_WINDOW = 8
_TRIES = 40
_ROUNDS = 60
_SILENCE = 75.0
_FLOW = 10.0
"""Seconds that something may still come before it is asked again nevertheless."""
_DEAF = 10.0
"""Seconds without any answer after which it is asked whose the console is now."""
_LOGIN = re.compile(rb"(?:^|\n)[^\n]{0,60}(login: |Password:)$")
_BROKEN_END = re.compile(rb"\x1eE[0-9a-f]")
_STRANGER = re.compile(rb"(?:^|\n|: )zv: ([Cc]ommand )?not found")

Accept = Callable[[bytes, bytes], bool]


def exactly(kind: bytes, text: str) -> Accept:
    """Return a test that only the frame `kind` with the body `text` passes."""
    want = (kind, text.encode())
    return lambda kind, body: (kind, body) == want


def starting(kind: bytes, prefix: bytes) -> Accept:
    """Return a test that frames `kind` whose body starts with `prefix` pass."""
    wanted = kind
    return lambda kind, body: kind == wanted and body.startswith(prefix)


@dataclass(frozen=True, slots=True)
class Command:
    """One command with the id under which it is run at most once.

    Mode `d` writes both outputs to files, `f` too, with a secret as standard input; `t` leaves
    them on the terminal, `s` streams standard output over the line and writes errors to a file.
    """

    text: str
    mode: str
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def data(self) -> bytes:
        """The command's bytes."""
        return self.text.encode("utf-8", "surrogateescape")

    def short(self) -> str | None:
        """Return the one line that says it all; None where it would be too long."""
        crc = cksum(f"{self.id}:{self.mode}:{typed(self.data)}\n".encode())
        text = f"zc {self.id} {crc} {self.mode} {word(self.data)}"
        return text if self.text and len(line(text)) < _LINE else None


class Pace:
    """How long an answer takes on this line: smoothed, with its spread (as TCP does, RFC 6298)."""

    def __init__(self) -> None:
        self._mean, self._spread = 0.1, 0.05

    def learn(self, seconds: float) -> None:
        """Take the time of one answer to a line that was typed once."""
        self._spread += (abs(seconds - self._mean) - self._spread) / 4
        self._mean += (seconds - self._mean) / 8

    def slower(self) -> None:
        """An answer came twice: the first was only late."""
        self._mean = min(2.0, self._mean * 1.3)

    def patience(self, backoff: float = 0) -> float:
        """Return how many seconds an answer may take before it is asked for again."""
        return min(12.0, (0.05 + self._mean + 4 * self._spread) * float(1.5 ** min(backoff, 12)))


class Frames:
    """Speaks with the helpers over one console. Not for two threads at once.

    With `stop` an unfinished line is ended by ^C: no helper is there yet that ignores it.
    """

    def __init__(self, console: Console, *, stop: bool = False) -> None:
        self.console = console
        self.pace = Pace()
        self._stop = stop
        self._late: tuple[bytes, bytes] | None = None
        self._tail = b""
        self._doubted = False
        self._unanswered = 0
        self._deaf_since = 0.0
        self._typed = b""
        self._secret = False
        self._window = _WINDOW
        self._failures = 0
        self.blocks = 8
        """How many blocks of a file are asked for at once; 0 on a line that damages blocks."""

    # -- one question, one answer -------------------------------------------------------------

    def next(self, timeout: float, *, prompts: bool = False) -> tuple[bytes, bytes, bytes] | None:
        """Return (kind, body, what stood before) of the next frame, None after `timeout`.

        `prompts` says that a prompt for a login or a password is expected.
        """
        return self._taken(self.console.expect(FRAME, timeout), prompts)

    def heard(self, timeout: float, longest: float = _FLOW) -> tuple[bytes, bytes, bytes] | None:
        """Return as `next` does, but wait on while something still comes at the end of `timeout`.

        For `longest` seconds more, that is. A slow line brings a long answer for seconds; asked for
        again it only becomes longer.
        """
        until = time.monotonic() + timeout + longest
        match = self.console.expect(FRAME, timeout / 2)
        while match is None and time.monotonic() < until:
            held = len(self.console.before)
            match = self.console.expect(FRAME, timeout / 2)
            if match is None and len(self.console.before) <= held:
                break
        return self._taken(match, prompts=False)

    def _taken(
        self, match: re.Match[bytes] | None, prompts: bool
    ) -> tuple[bytes, bytes, bytes] | None:
        if match is None:
            if self._unanswered == 0:
                self._deaf_since = time.monotonic()
            self._unanswered += 1
            self._notice(self.console.before, prompts)
            return None
        self._unanswered, self._typed, self._secret = 0, b"", False
        self._tail, self._doubted = b"", False
        return match[1], match[2], self.console.before

    def _notice(self, seen: bytes, prompts: bool) -> None:
        """Raise when the console stands at a prompt that is not ours."""
        text = seen[-400:].replace(b"\r", b"")
        if gone.forgotten(text) or (not prompts and self._is_elsewhere(seen)):
            raise self._lost(seen)
        if text != self._tail:
            self._tail = text
        elif gone.asks(text) or (self._doubted and _LOGIN.search(text)):
            raise self._lost(seen)
        elif not prompts and _LOGIN.search(text):
            # Somebody else's login shows the same: the shell itself is asked before it is given up.
            self._doubted, self._tail = True, b""
            self.type("zq")

    def _is_elsewhere(self, seen: bytes) -> bool:
        """Whether nobody has answered for a while, and what is shown is not our shell's."""
        deaf = self._unanswered > 3 and time.monotonic() - self._deaf_since > _DEAF
        return deaf and gone.after_all(seen, self._typed)

    def check(self) -> None:
        """Raise before anything is typed to a machine that has started anew, or goes down."""
        if gone.at_once(self.console.peek()):
            # What it says next may tell more.
            self.console.expect(FRAME, 0.5)
            raise self._lost(self.console.before)

    def _lost(self, seen: bytes) -> MachineLost:
        return gone.lost(seen, tell=not self._secret)

    def type(self, text: str, shown: str | None = None) -> None:
        """Type one line for the helpers; `shown` stands in the transcript for a secret one.

        After a silence what may be left of the last line is cleared away first.
        """
        self.check()
        if self._unanswered > 1 and self._stop:
            # ^C takes what was typed behind it along, as long as the shell has not seen it.
            self.console.write(_CTRL_Q + _CTRL_C)
            self.console.read_until_quiet(0.1, 0.5)
            clear = _CTRL_U
        else:
            clear = (b"", _CLEAR, _CLOSE, _CLOSE, _UNQUOTE)[min(self._unanswered, 4)]
        self._typed = line(text).encode() + b"\r"
        data = clear + self._typed
        if shown is None:
            self.console.write(data)
        else:
            self._secret = True
            self.console.write_masked(data, shown)

    def ask(
        self,
        text: str,
        accept: Accept,
        *,
        refused: Accept = lambda kind, _: kind == b"N",
        shown: str | None = None,
        tries: int = _TRIES,
    ) -> tuple[bytes, bytes]:
        """Type `text` until a frame comes that `accept(kind, body)` takes; return that frame.

        A frame that `refused` takes says that the line arrived damaged.
        """
        first = time.monotonic()
        backoff = 0.0
        for attempt in range(tries):
            self.type(text, shown)
            began = time.monotonic()
            if attempt > 5 and began - first > _SILENCE:
                break
            frame = self._answer(accept, refused, self.pace.patience(backoff))
            if frame is not None and accept(*frame):
                self.console.transcript.answered()
                self._learn(frame, time.monotonic() - began, attempt)
                return frame
            # Where nothing came the shell may be busy; else the line is alive, and only bad.
            backoff += 1.0 if frame is None and not self.console.before else 0.3
        raise _silent()

    def _answer(
        self, accept: Accept, refused: Accept, patience: float
    ) -> tuple[bytes, bytes] | None:
        """Return the frame that accepts or refuses; None where neither came in time."""
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            frame = self.heard(left)
            if frame is None:
                return None
            said = frame[:2]
            if accept(*said) or refused(*said):
                return said
            if said[0] in b"DG":
                until += self.pace.patience()
            elif said == self._late:
                # What was asked for twice was answered twice: the first answer was only late.
                self._late = None
                self.pace.slower()
        return None

    def _learn(self, frame: tuple[bytes, bytes], seconds: float, attempt: int) -> None:
        """Take the time of an answer; that to a later try may be the one to an earlier."""
        if attempt == 0:
            self.pace.learn(seconds)
        self._late = frame if attempt else None

    # -- parts ------------------------------------------------------------------------------------

    def send_parts(self, id: str, data: bytes, secret: str | None = None, verb: str = "zp") -> int:
        """Carry `data` over as checked parts, several on their way at once; return how many.

        On a line that loses bytes, parts become short and go one by one. `secret` stands in the
        transcript for data that must not. `verb` is the helper that keeps them.
        """
        width = _PART if self._failures < 3 else _SHORT_PART
        encoded = base64.b64encode(data).decode()
        parts = [encoded[at : at + width] for at in range(0, len(encoded), width)]
        if len(parts) > MOST_PARTS:
            raise NoAnswer(
                f"{len(data)} bytes are too many for one command.", "Upload them as a file."
            )
        waiting = dict(enumerate(parts))
        heard = time.monotonic()
        for attempt in range(_ROUNDS):
            before = len(waiting)
            self._send_round(f"{verb} {id}", waiting, attempt, secret)
            if len(waiting) < before:
                heard = time.monotonic()
            elif attempt > 5 and time.monotonic() - heard > _SILENCE:
                break
            if not waiting:
                self._failures = max(0, self._failures - 1)
                return len(parts)
            if attempt > 2 and len(waiting) == before and width > _SHORT_PART:
                self._failures = 6
                return self.send_parts(id, data, secret, verb)
        if not self.console.before:
            raise _silent()
        raise NoAnswer("The line damages every line that is typed.", "Check its speed and cable.")

    def _send_round(
        self, head: str, waiting: dict[int, str], attempt: int, secret: str | None
    ) -> None:
        """Type what is still `waiting`, a window of lines ahead; drop what is acknowledged.

        `head` is what every line begins with: the helper and the id.
        """
        id = head.partition(" ")[2]
        window = self._window if attempt == 0 else max(1, self._window >> attempt)
        queue = list(waiting)
        flying = 0
        began = time.monotonic()
        while queue or flying:
            while queue and flying < window:
                number = queue.pop(0)
                part = waiting.get(number)
                if part is None:
                    continue  # acknowledged after all, only late
                crc = cksum(f"{id}:{number}:{part}\n".encode())
                shown = None if secret is None else f"{head} {number} {secret}\r"
                self.type(f"{head} {number} {crc} {part}", shown)
                flying += 1
                began = time.monotonic()
            frame = self.next(self.pace.patience(attempt + 1) + 0.02 * flying)
            if frame is None:
                flying = 0
                self._window = max(1, self._window // 2)
                continue
            kind, body, _ = frame
            name, _, number_text = body.partition(b":")
            if kind == b"P" and name == id.encode() and number_text.isdigit():
                if waiting.pop(int(number_text), None) is not None:
                    flying = max(0, flying - 1)
                    if attempt == 0:
                        self.pace.learn(time.monotonic() - began)
                    began = time.monotonic()
            elif kind == b"N":
                flying = max(0, flying - 1)
        if not waiting:
            self._window = min(_WINDOW, self._window + 1)

    # -- commands ---------------------------------------------------------------------------------

    def execute(
        self,
        command: Command,
        timeout: float,
        seen: Callable[[bytes], None] | None = None,
        moving: Callable[[], bool] = lambda: False,
        begin: Callable[[Command], End | bool | None] | None = None,
    ) -> tuple[End, Gathering]:
        """Run `command` once; return its end, and what of its output came along.

        Of a command that was run already only the end is told. `seen` gets every byte that the
        terminal shows (mode `t`); `moving` says whether output streams (mode `s`); `begin` sends
        the command in a way of its own, and returns as `start` does. Raises `NoAnswer` after
        `timeout` seconds: it was interrupted and its outcome is unknown.
        """
        for _ in range(_TRIES):
            begun = (begin or self._begin)(command)
            if begun is not None:
                break
            self._failures += 1
        else:
            raise NoAnswer(
                "The line damages every command that is typed.", "Check its speed and its cable."
            )
        gathering = Gathering()
        if isinstance(begun, End):
            return begun, gathering
        return self._await_end(command, timeout, gathering, seen, moving), gathering

    def _begin(self, command: Command) -> End | bool | None:
        """Send the command; True once it runs, its End if it is over, None on a NAK."""
        id = command.id
        text = command.short() if self._failures < 3 else None
        tries = 4
        if text is None:
            count = self.send_parts(id, command.data)
            crc = cksum(f"{id}:{command.mode}:".encode() + command.data)
            text, tries = f"zx {id} {count} {crc} {command.mode}", _TRIES
        return self.start(id, text, tries)

    def start(
        self, id: str, text: str, tries: int = _TRIES, shown: str | None = None
    ) -> End | bool | None:
        """Type the line that runs command `id`; True once it runs, its End if it is over.

        None where the line, or what it speaks of, was damaged. `shown` stands for it in the
        transcript.
        """
        wanted = id.encode()
        try:
            kind, body = self.ask(
                text,
                lambda kind, body: (
                    (kind in (b"S", b"N", b"R") and body == wanted)
                    or (kind == b"E" and (end := parse_end(body)) is not None and end.id == id)
                ),
                shown=shown,
                tries=tries,
            )
        except NoAnswer:
            if tries == _TRIES:
                raise
            kind = b"N"
        if kind == b"N":
            return None
        if kind == b"R":
            raise _interrupted()
        return parse_end(body) if kind == b"E" else True

    def _await_end(
        self,
        command: Command,
        timeout: float,
        gathering: Gathering,
        seen: Callable[[bytes], None] | None,
        moving: Callable[[], bool],
    ) -> End:
        deadline = time.monotonic() + timeout
        pause = 2 * self.pace.patience()
        while (left := deadline - time.monotonic()) > 0:
            wait = pause if seen is None else 0.15
            frame = self.next(min(wait, left), prompts=seen is not None)
            if frame is None:
                if seen is not None:
                    seen(self.console.before)
                elif not moving() and left > pause:
                    # The end frame may have been damaged: the query is idempotent.
                    self.type("zq")
                    pause = min(30.0, pause * 1.7)
                continue
            kind, body, before = frame
            if seen is not None:
                seen(before)
            gathering.take(kind, body)
            end = parse_end(body) if kind == b"E" else None
            if end is not None and end.id == command.id:
                return end
            broken = (kind == b"E" and end is None) or _BROKEN_END.search(before)
            if broken and seen is None:
                # It has ended, and only its frame is damaged, or another one fell into it.
                self.type("zq")
            if kind == b"R" and body == command.id.encode():
                raise _interrupted()
        return self.interrupt(timeout)

    def interrupt(self, timeout: float) -> End:
        """Stop what runs; raises `NoAnswer` either way."""
        for wait in (0.5, 1.0, 3.0):
            self.check()
            self.console.write(_CTRL_Q + _CTRL_C)
            self.console.read_until_quiet(wait, wait * 2)
            self.type("zq")
            until = time.monotonic() + wait + 4 * self.pace.patience()
            while (left := until - time.monotonic()) > 0 and (frame := self.next(left)):
                if frame[0] in (b"E", b"R"):
                    raise NoAnswer(
                        f"No end within {timeout:.0f} s; the command was interrupted.",
                        "It may hang on a device: see the command, and try it by hand.",
                    )
        raise NoAnswer(
            f"No end within {timeout:.0f} s, and the command cannot be interrupted.",
            "It hangs in the kernel, on a device perhaps: unplug it, or restart the machine.",
        )

    # -- who is there -----------------------------------------------------------------------------

    def alive(self, token: str, tries: int = 2) -> bool:
        """Whether the helpers of `token` answer."""
        nonce = secrets.token_hex(3)
        try:
            self.ask(f"zv {nonce}", exactly(b"V", f"{token}:{nonce}"), tries=tries)
        except LineCut:
            raise
        except (NoAnswer, MachineLost):
            return False
        return True

    def strangers_answer(self) -> tuple[bytes, bool]:
        """Return what came instead of an answer, and whether it is a shell without our helpers."""
        said = self.console.unread()
        return said, _STRANGER.search(said) is not None

    def boot_mark(self) -> tuple[bytes, bytes]:
        """Return the last command's id (`-` for none), and what changes with every restart."""
        nonce = secrets.token_hex(3).encode()
        marks = re.compile(nonce + rb":([0-9a-f]+|-):(\d+ \d+)")
        _, body = self.ask(
            f"zt {nonce.decode()}",
            lambda kind, body: kind == b"T" and marks.fullmatch(checked(body)) is not None,
        )
        match = marks.fullmatch(checked(body))
        return (match[1], match[2]) if match else (b"-", b"")


def _silent() -> NoAnswer:
    return NoAnswer(
        "The shell on the console does not answer.",
        "Look at the console by hand; then start zrwizard again.",
    )


def _interrupted() -> NoAnswer:
    return NoAnswer("The command was cut short on the target.", "Look at what it has done.")

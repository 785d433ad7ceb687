"""What the rooms above may ask of a shell, whatever console it lives on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zrwizard.secrets import Secret


@dataclass(frozen=True, slots=True)
class Result:
    """A finished command: exit status, the exact bytes of both outputs, seconds it took."""

    status: int
    out: bytes
    err: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output as text; undecodable bytes become U+FFFD."""
        return self.out.decode("utf-8", "replace")

    @property
    def errors(self) -> str:
        """Standard error as text, likewise."""
        return self.err.decode("utf-8", "replace")

    @property
    def both(self) -> str:
        """Output and errors as one text without outer blank space, for people."""
        return "\n".join(part for part in (self.text.strip(), self.errors.strip()) if part)


@dataclass(frozen=True, slots=True)
class Rule:
    """A prompt (regex, matched on the unterminated last line after a quiet) and its answer."""

    pattern: str
    answer: Secret
    max_uses: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """A detached job on the target: whether it runs, and its exit status once it has ended.

    Both are None/False when the job is not known there. `lost` means that it was started, runs no
    more and left no status: it was killed, or the machine restarted.
    """

    known: bool
    running: bool
    status: int | None

    @property
    def lost(self) -> bool:
        """Started once, gone without a status."""
        return self.known and not self.running and self.status is None


def unheard(_text: str) -> None:
    """Take what nobody wants to hear."""


Done = Callable[[int, int], None]
"""Gets how many bytes of a file have passed, and how many there are."""


class Shell(Protocol):
    """Every method may raise `zrwizard.console.errors.ConsoleError`, and nothing else but where
    it says so.

    `home` is the private directory on the target (mode 700); jobs live in `home/jobs/NAME/` with
    the files run, log, pid, rc. `on_cut` hears when the line is cut and when it is back.
    """

    home: str
    on_cut: Callable[[str], None]

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        """Run sh `text` in a subshell, stdin /dev/null, at most once; return its `Result`."""
        ...

    def feed(self, text: str, secret: Secret, *, timeout: float = 120.0) -> Result:
        """Run `text` like `run`, with the exact bytes of `secret` as its standard input.

        They pass through the memory of the target's shell only: no file, no argument, no
        environment; the transcript has their name. At most `secrets.MAX_BYTES` bytes. The status
        is that of `text`, whether it reads all of them, a part, or none.
        """
        ...

    def talk(self, text: str, rules: tuple[Rule, ...] = (), *, timeout: float = 120.0) -> Result:
        """Run `text` on the terminal, answering prompts; `Result.out` is what was shown."""
        ...

    def upload(self, path: str, data: bytes | Secret, mode: int = 0o600) -> None:
        """Write a file on the target, checked; a secret is shown nowhere on its way."""
        ...

    def download(self, path: str, to: Path) -> None:
        """Fetch the target's file `path` into `to` (mode 600), checked; gone on with after a cut.

        Raises `Refused` where it is no readable file, and `OSError` where `to` cannot be written.
        """
        ...

    def start_job(self, name: str, script: str) -> None:
        """Start sh `script` detached as job `name` (its directory is made anew)."""
        ...

    def job(self, name: str) -> Job:
        """Look at the detached job `name`."""
        ...

    def stop_job(self, name: str) -> None:
        """Terminate the detached job `name` and what it started; silent where it is gone."""
        ...

    def leave(self, text: str, *, until: str, timeout: float, secret: Secret | None = None) -> str:
        """Type `text` (reboot, poweroff), watch the console; return the last screen seen.

        `until` is "login" or "down". `secret` is typed once into each passphrase prompt, three
        times at most. Raises `NoAnswer` when the goal is not seen within `timeout`, and `Refused`.
        """
        ...

    def close(self) -> None:
        """Hand the console back (echo on, prompt back) and close the line; never raises."""
        ...

"""Fits the settings of a restored system to its machine, with the operator's word for each file."""

from __future__ import annotations

import re
import threading

from zrwizard import edits
from zrwizard.console.errors import Cancelled
from zrwizard.freebsd import sh
from zrwizard.mending.whole import CACHES, IDENTITIES, PATHS, Change, Proposal, propose
from zrwizard.plan import Edit, Mend, Step, difference
from zrwizard.run.events import Answered, Note, Typed
from zrwizard.run.outcome import StepError, last_lines
from zrwizard.run.sources import Agreement
from zrwizard.run.telling import Teller

_SECONDS = 120.0
_NONE = 3
"""The status of a look at a file that is not there."""
_STALE = (
    "It lists the pools and disks of the old machine. The system writes a new one; other pools "
    "than this one are imported once by hand then."
)


class Mender:
    """One mending. `agree` asks the operator."""

    def __init__(
        self, teller: Teller, step: Step, action: Mend, agree: Agreement, cancel: threading.Event
    ) -> None:
        self._teller = teller
        self._step = step
        self._action = action
        self._agree = agree
        self._cancel = cancel
        self._told: list[str] = []

    def mend(self) -> None:
        """Mount, read, ask, write, unmount. Raises `StepError` and `ConsoleError`."""
        self._do(self._action.before)
        proposal = propose(self._read(), self._action)
        for change in proposal.changes:
            self._change(change)
        for path in CACHES:
            if self._is_there(path) and self._allowed(path, _STALE, self._aside(path)):
                self._put_aside(path)
        for path in IDENTITIES:
            if self._action.renew and self._is_there(path):
                self._put_aside(path)
        for note in (*proposal.notes, *self._seen(proposal)):
            self._teller.emit(Note(note, "warning"))
        self._do(self._action.after)
        said = "\n".join(self._told) or "nothing had to be changed"
        self._teller.emit(Answered(self._step.id, "act", 0, said, 0.0))

    def _do(self, text: str) -> None:
        result = self._teller.run(self._step.id, "act", text, _SECONDS)
        if result.status != 0:
            raise StepError(
                f"“{self._step.title}” failed. It said: {last_lines(result.both)}",
                "Look at what the command said; then start again: what was proven is kept.",
            )

    def _at(self, path: str) -> str:
        return f"{self._action.root}{path}"

    def _read(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for path in PATHS:
            name = sh.quote(self._at(path))
            text = f"[ -f {name} ] && [ ! -L {name} ] || exit {_NONE}\ncat {name}"
            # What a file holds is not told: only what is changed in it.
            self._teller.emit(Typed(self._step.id, "act", text))
            result = self._teller.shell.run(text, timeout=_SECONDS)
            said = f"{len(result.out)} bytes" if result.status == 0 else result.errors
            self._teller.emit(Answered(self._step.id, "act", result.status, said, result.seconds))
            if result.status == 0:
                found[path] = _text(result.out)
            elif result.status != _NONE:
                raise StepError(
                    f"{self._at(path)} cannot be read: {last_lines(result.both)}",
                    "Look at the file system; then start again: what was proven is kept.",
                )
        return found

    def _allowed(self, path: str, reasons: str, shown: str) -> bool:
        """Return whether `path` may be changed as `shown`; tell where it may not."""
        policy = self._action.policy
        word = self._agree(path, reasons, shown) if policy == "ask" else policy == "write"
        if self._cancel.is_set():
            raise Cancelled("Stopped by the operator.", "Start again when you like.")
        if word:
            return True
        if word is False and policy == "ask":
            how, also, level = "as the operator wanted", "", "info"
        else:
            how = (
                "nobody was there to agree (the answer target.mend = write agrees beforehand)"
                if word is None
                else "as the answers want it"
            )
            # Whoever was asked has seen it.
            also, level = f" {reasons}\n{shown}", "warning"
        self._told.append(f"{path} was left as it is, {how}")
        self._teller.emit(Note(f"{path} was left as it is, {how}.{also}", level))
        return False

    def _change(self, change: Change) -> None:
        path = self._at(change.path)
        edit = Edit(path, None, change.text, change.was, path + self._action.suffix)
        shown = difference(edit, context=0)
        if not self._allowed(change.path, " ".join(change.reasons), shown):
            return
        self._teller.emit(Typed(self._step.id, "act", shown))
        result = self._teller.quietly(self._step.id, "act", edits.script(edit), _SECONDS)
        if result.status != 0:
            raise StepError(
                f"{path} could not be written: {last_lines(result.both)}",
                "The old file is still there. Look at it; then start again.",
            )
        self._told.append(f"{change.path}: {' '.join(change.reasons)}")

    def _is_there(self, path: str) -> bool:
        return (
            self._teller.run(self._step.id, "act", sh.exists(self._at(path)), _SECONDS).status == 0
        )

    def _aside(self, path: str) -> str:
        return sh.command("mv", "-f", self._at(path), self._at(path) + self._action.suffix)

    def _put_aside(self, path: str) -> None:
        self._do(self._aside(path))
        self._told.append(f"{path} was put aside")

    def _seen(self, proposal: Proposal) -> list[str]:
        """Return what a person should look at: files that name a card that is gone, exports."""
        notes = []
        etc = sh.quote(f"{self._action.root}/etc")
        for card in proposal.lost_cards:
            text = f"cd {etc} && grep -lw {sh.quote(card)} *.conf 2>/dev/null"
            result = self._teller.run(self._step.id, "act", text, _SECONDS)
            files = [name for name in result.text.split("\n") if re.fullmatch(r"[\w.-]+", name)]
            if files:
                listed = ", ".join(f"/etc/{name}" for name in files)
                notes.append(f"{card} is a name of the old machine and still stands in {listed}.")
        text = f"[ -s {sh.quote(f'{self._action.root}/etc/exports')} ]"
        if self._teller.run(self._step.id, "act", text, _SECONDS).status == 0:
            notes.append("/etc/exports offers file systems over NFS: see that it is still meant.")
        return notes


def _text(data: bytes) -> str | None:
    """Return `data` as text, None where it is none: then nothing of it could be shown."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None

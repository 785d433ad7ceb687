"""The journal of a run: JSON lines on disk, fsynced at every boundary of a step.

It is written before something is begun and after it is proven, so that a run that was killed
anywhere is found again by `find_unfinished` and simply run once more.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zrwizard.plan import Plan, from_json
from zrwizard.run import events, state
from zrwizard.secrets import Secrets

NAME = "journal.jsonl"
FORMAT = "zrwizard-journal-1"
MAIN = "main"
"""The part under which the reviewed plan is kept; preparations use their mark."""
_SAVED_PROGRESS = 30.0
"""Seconds between two kept moments of a long transfer."""
_SAVED_PART = 60.0
"""Of a young one each moment is kept that comes after a 60th of its age: a few hundred at most."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that was begun on a console and has not ended well."""

    token: str
    console: str
    flow: str
    answers: Mapping[str, str]
    plan: Plan | None
    preparations: tuple[tuple[str, Plan], ...]
    begun: frozenset[tuple[str, str]]
    done: frozenset[tuple[str, str]]
    when: float
    exit: int | None

    @property
    def confirmed(self) -> bool:
        """Whether any step of the reviewed plan was begun."""
        return any(part == MAIN for part, _ in self.begun)


class Ledger(Protocol):
    """What the executor wants of a journal."""

    def begun(self, step: str) -> None:
        """Write down that `step` is about to be acted."""

    def done(self, step: str, *, skipped: bool) -> None:
        """Write down that `step` is finished and proven."""

    def failed(self, step: str, what: str) -> None:
        """Write down that `step` went wrong."""

    def was_begun(self, step: str) -> bool:
        """Whether this run, now or before it was killed, had begun `step`."""

    def was_done(self, step: str) -> bool:
        """Whether this run, now or before it was killed, had proven `step`."""


class Journal:
    """One open journal. Every line passes the redaction; a failing disk raises OSError."""

    def __init__(self, path: Path, token: str, secrets: Secrets) -> None:
        self.path = path
        self.token = token
        self._secrets = secrets
        self._begun: set[tuple[str, str]] = set()
        self._done: set[tuple[str, str]] = set()
        self._progress = ("", 0.0, 0.0)
        """Of the running transfer: its step, when it was heard of first, and when it was kept."""
        state.make_private(path.parent)
        torn = path.exists() and not _ends_whole(path)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, state.PRIVATE_FILE)
        self._stream = os.fdopen(handle, "ab")
        if torn:
            self._write(b"")

    @property
    def directory(self) -> Path:
        """The run's own directory."""
        return self.path.parent

    @classmethod
    def create(
        cls, state_dir: Path, token: str, *, console: str, flow: str, secrets: Secrets
    ) -> Journal:
        """Return the journal of a new run `token`."""
        journal = cls(state.run_dir(state_dir, token) / NAME, token, secrets)
        journal._put(
            {"kind": "opened", "format": FORMAT, "token": token, "console": console, "flow": flow}
        )
        journal.sync()
        return journal

    @classmethod
    def reopen(cls, state_dir: Path, run: Unfinished, secrets: Secrets) -> Journal:
        """Return the journal of `run`, to be continued."""
        journal = cls(state.run_dir(state_dir, run.token) / NAME, run.token, secrets)
        journal._begun.update(run.begun)
        journal._done.update(run.done)
        journal._put({"kind": "reopened"})
        journal.sync()
        return journal

    def answers(self, given: Mapping[str, str]) -> None:
        """Write down the answers as they stand."""
        self._put({"kind": "answers", "answers": dict(given)})

    def plan(self, part: str, plan: Plan) -> None:
        """Write down the plan that is about to be run as `part`."""
        text = plan.to_json()
        # A secret that happens to stand in a plan is masked, and the digest then tells.
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._put({"kind": "plan", "part": part, "plan": text, "digest": digest})
        self.sync()

    def event(self, event: events.Event) -> None:
        """Keep an event; of progress only what the report needs."""
        if not isinstance(event, events.Progress) or self._is_due(event):
            self._put({"kind": "event", "what": events.to_dict(event)})

    def _is_due(self, event: events.Progress) -> bool:
        now = time.monotonic()
        step, first, kept = self._progress
        if step != event.step:
            first = kept = now
        elif event.fraction != 1.0:
            if now - kept < min(_SAVED_PROGRESS, max(1.0, (now - first) / _SAVED_PART)):
                return False
            kept = now
        self._progress = (event.step, first, kept)
        return True

    def end(self, code: int) -> None:
        """Write down how the run ended."""
        self._put({"kind": "ended", "exit": int(code)})
        self.sync()

    def part(self, part: str) -> Ledger:
        """Return the view that the executor of the plan `part` writes to."""
        return _Part(self, part)

    def sync(self) -> None:
        """Bring everything to the disk."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file; what was written stays."""
        self._stream.close()

    def mark(self, kind: str, part: str, step: str, **more: Any) -> None:
        """Write a step's boundary and bring it to the disk."""
        if kind == "begun":
            self._begun.add((part, step))
        elif kind == "done":
            self._done.add((part, step))
        self._put({"kind": kind, "part": part, "step": step, **more})
        self.sync()

    def knows(self, kind: str, part: str, step: str) -> bool:
        """Whether a boundary of that kind was written before."""
        return (part, step) in (self._begun if kind == "begun" else self._done)

    def _put(self, record: dict[str, Any]) -> None:
        if self._stream.closed:
            return
        safe = redacted({"at": round(time.time(), 3), **record}, self._secrets.redact_text)
        line = json.dumps(safe, ensure_ascii=False)
        data = line.encode("utf-8", "backslashreplace")
        self._write(self._secrets.redact(data))

    def _write(self, line: bytes) -> None:
        self._stream.write(line + b"\n")
        # At once: a kill may cost the machine's cache, never the process's.
        self._stream.flush()


class _Part:
    """A `Ledger` over one plan of a journal."""

    def __init__(self, journal: Journal, part: str) -> None:
        self._journal = journal
        self._part = part

    def begun(self, step: str) -> None:
        self._journal.mark("begun", self._part, step)

    def done(self, step: str, *, skipped: bool) -> None:
        self._journal.mark("done", self._part, step, skipped=skipped)

    def failed(self, step: str, what: str) -> None:
        self._journal.mark("failed", self._part, step, what=what)

    def was_begun(self, step: str) -> bool:
        return self._journal.knows("begun", self._part, step)

    def was_done(self, step: str) -> bool:
        return self._journal.knows("done", self._part, step)


def redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """Return `value` (JSON-able) with every text passed through `redact`.

    Done before the text is escaped for JSON: a secret with a quote in it would slip through after.
    """
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {key: redacted(item, redact) for key, item in value.items()}
        case list() | tuple():
            return [redacted(item, redact) for item in value]
        case _:
            return value


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of the journal at `path`; torn or foreign lines are left out."""
    with path.open("rb") as stream:
        for line in stream:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("kind"), str):
                yield record


def load(path: Path) -> Unfinished | None:
    """Return the run that the journal at `path` tells of, finished or not; None if it is none."""
    try:
        records = list(read(path))
    except OSError:
        return None
    if not records or records[0].get("format") != FORMAT:
        return None
    head = records[0]
    plans: dict[str, Plan] = {}
    marks: dict[str, set[tuple[str, str]]] = {"begun": set(), "done": set()}
    answers: dict[str, str] = {}
    code: int | None = None
    for record in records:
        match record["kind"]:
            case "answers":
                answers = {str(k): str(v) for k, v in record.get("answers", {}).items()}
            case "plan":
                plan = _plan(record)
                if plan is not None:
                    plans[str(record.get("part"))] = plan
            case "begun" | "done" as kind:
                marks[kind].add((str(record.get("part")), str(record.get("step"))))
            case "ended":
                code = int(record.get("exit", 1))
            case "reopened":
                code = None
    return Unfinished(
        token=str(head.get("token")),
        console=str(head.get("console")),
        flow=str(head.get("flow")),
        answers=answers,
        plan=plans.pop(MAIN, None),
        preparations=tuple(plans.items()),
        begun=frozenset(marks["begun"]),
        done=frozenset(marks["done"]),
        when=float(records[-1].get("at", 0.0)),
        exit=code,
    )


def find_unfinished(state_dir: Path, console: str, flow: str) -> Unfinished | None:
    """Return the newest run on `console` that was begun and has not ended well, or None.

    A run that was followed by one that ended well is history, and is not found. Nor is one on
    simulated machines: they ended with their process.
    """
    if console.startswith("rehearsal:"):
        return None
    found = [
        run
        for path in state.runs_dir(state_dir).glob(f"*/{NAME}")
        if (run := load(path)) is not None and run.console == console and run.flow == flow
    ]
    told = [run for run in found if run.confirmed and run.plan is not None]
    newest = max(told, key=lambda run: run.when, default=None)
    return None if newest is None or newest.exit == events.Exit.DONE else newest


def _plan(record: dict[str, Any]) -> Plan | None:
    text = str(record.get("plan"))
    if hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() != record.get("digest"):
        return None
    try:
        return from_json(text)
    except ValueError:
        return None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"

"""The front end without a person: answers from a file, events as lines or as JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Protocol, TextIO, assert_never

from zrwizard import answers as files
from zrwizard.flows.base import Flow
from zrwizard.flows.moves import Agree, Answers, Choose, ChooseMany, Enter, EnterSecret, Question
from zrwizard.plan import Plan, Problem
from zrwizard.report.words import duration, size
from zrwizard.run.events import (
    Answered,
    Event,
    Exit,
    Note,
    Progress,
    RunFinished,
    RunStarted,
    StepDone,
    StepFailed,
    StepStarted,
    Typed,
    to_dict,
)
from zrwizard.secrets import Secret, Secrets, unfit
from zrwizard.transfer.remaining import told
from zrwizard.wizard import Back, Confirmed, MissingAnswer, Stop

_SHOWN_LINES = 12
_EVERY = 10.0


class Printer(Protocol):
    """Prints events as they come."""

    def show(self, event: Event) -> None:
        """Print `event`; never raises, since a run does not depend on who reads along."""
        ...


@dataclass(slots=True)
class Headless:
    """A `Front` that nobody sits at. `confirm` are the disks' identities, given beforehand."""

    flow: Flow
    answers: Answers
    secrets: Secrets
    confirm: tuple[str, ...]
    printer: Printer

    def ask(self, question: Question, problem: Problem | None) -> str | Secret | Back:
        """Return the default or the secret; raises `Stop` where somebody would have to think."""
        if problem is not None:
            raise Stop(problem.what, problem.now, Exit.USAGE)
        match question:
            case EnterSecret(secret=name, twice=new):
                secret = self.secrets.get(name)
                if secret is None:
                    raise MissingAnswer(
                        f"{question.title}: the secret “{name}” is not given.",
                        f"Give it as --secret {name}=file:PATH, env:VARIABLE or fd:NUMBER.",
                    )
                if new and (wrong := unfit(secret)):
                    raise Stop(
                        f"The secret “{name}” will not do. {wrong}",
                        "Choose a better one: a few words that nobody would guess together.",
                        Exit.USAGE,
                    )
                return secret
            case Choose(default=default, options=options):
                open_ = [option.value for option in options if option.locked is None]
                if default is not None and default in open_:
                    return default
                return self._default(question, f"One of: {', '.join(open_[:12]) or 'nothing'}.")
            case ChooseMany(options=options):
                open_ = [option.value for option in options if option.locked is None]
                return self._default(question, f"Some of: {', '.join(open_[:12]) or 'nothing'}.")
            case Enter(default=default):
                return default or self._default(question, question.help)
            case Agree(value=value, text=text):
                raise self._missing(question, f"{text} To agree, answer {value!r}.")
            case _:
                assert_never(question)

    def review(self, plan: Plan) -> Confirmed | Back:
        """Confirm with the identities given beforehand; raises `Stop` where they do not fit."""
        if plan.confirmed_by(self.confirm):
            return Confirmed(self.confirm)
        disks = plan.disks
        erased = " and ".join(f"{disk.typed!r} ({disk.summary})" for disk in disks) or "''"
        given = " and ".join(map(repr, filter(None, self.confirm)))
        verb = "were" if len(self.confirm) > 1 else "was"
        said = f"{given} {verb} given" if given else "no identity was given"
        several = len(disks) > 1
        flags = " ".join(f"--confirm-erase {disk.typed!r}" for disk in disks)
        raise Stop(
            f"Refused: the plan erases the disk{'s' if several else ''} {erased}, and {said} as "
            "--confirm-erase. Nothing was erased.",
            f"If {'those disks are' if several else 'that disk is'} meant, "
            f"{'give exactly' if several else 'add'} {flags or '--confirm-erase'}; "
            "--plan md shows the plan.",
            Exit.REFUSED,
        )

    def emit(self, event: Event) -> None:
        """Print the event."""
        self.printer.show(event)

    def _default(self, question: Question, hint: str) -> str:
        for key in self.flow.keys:
            if key.name == question.key and key.default is not None:
                return key.default
        raise self._missing(question, hint)

    def _missing(self, question: Question, hint: str) -> MissingAnswer:
        helps = {key.name: key.help for key in self.flow.keys}
        what = f"The answer {question.key} is missing: {helps.get(question.key) or question.title}"
        others = [
            key.name for key in files.missing(self.flow, self.answers) if key.name != question.key
        ]
        also = f" Perhaps missing too: {', '.join(others)}." if others else ""
        flag = " (or --host-key)" if question.key == "server.host_key" else ""
        return MissingAnswer(what, f"{hint} Put it into the answers file{flag}.{also}")


@dataclass(slots=True)
class JsonLines:
    """One JSON object a line; the last one is `RunFinished`."""

    out: TextIO

    def show(self, event: Event) -> None:
        """Print `event` as one line."""
        _write(self.out, json.dumps(to_dict(event)) + "\n")


@dataclass(slots=True)
class Lines:
    """Calm lines for people; progress on one line of a terminal, else now and then."""

    out: TextIO
    tty: bool
    width: int = 100
    _open: bool = False
    _last: float = field(default=-_EVERY)

    def show(self, event: Event) -> None:
        """Print `event` as lines."""
        match event:
            case Progress():
                self._progress(event)
                return
            case RunStarted(title=title, total=total, resumed=resumed):
                again = ", going on with an earlier run" if resumed else ""
                text = f"\n{title} ({total} steps{again})"
            case StepStarted(index=index, total=total, title=title, why=why, danger=danger):
                mark = " (erases)" if danger == "erases" else ""
                text = f"[{index}/{total}] {title}{mark}\n    {why}"
            case Typed(role=role, text=command):
                sign = "$" if role in ("act", "survey") else f"{role}:"
                text = _indent(f"{sign} {command}", 4)
            case Answered():
                text = _answered(event)
            case StepDone(seconds=seconds, skipped=skipped):
                text = "    was so already" if skipped else f"    done in {seconds:.1f} s"
            case StepFailed(what=what, now=now):
                text = _indent(f"FAILED: {what}\n{now}".rstrip(), 4)
            case Note(text=said, level=level):
                text = said if level == "info" else f"{level}: {said}"
            case RunFinished():
                text = _finished(event)
            case _:
                assert_never(event)
        self._line(text)

    def _line(self, text: str) -> None:
        if not text:
            return
        _write(self.out, ("\n" if self._open else "") + printable(text) + "\n")
        self._open = False

    def _progress(self, view: Progress) -> None:
        now = time.monotonic()
        ended = view.fraction == 1.0
        line = printable(progress_line(view))
        if self.tty:
            _write(self.out, "\r" + line[: self.width].ljust(self.width))
            self._open = True
        elif ended or now - self._last >= _EVERY:
            self._last = now
            _write(self.out, "    " + line + "\n")


def progress_line(view: Progress) -> str:
    """Return a transfer's state in one line; an estimate is called one."""
    if view.fraction is None:
        head = f"{size(view.received)} received, total unknown"
    elif view.fraction == 1.0:
        head = f"ended: {size(view.received)} received in {duration(view.elapsed)}"
    else:
        about = size(view.estimate or 0)
        head = f"{size(view.received)}, {int(view.fraction * 100)}% of an estimated {about}"
    parts = [head]
    if view.fraction != 1.0:
        parts.append(f"{size(view.rate)}/s")
        parts.append(told(view.soonest, view.latest, duration))
        if view.idle >= 10:
            parts.append(f"no byte for {duration(view.idle)}")
    if view.part:
        parts.append(f"dataset {view.part_number}/{view.parts}")
    if not view.part or view.parts != view.streams:
        parts.append(f"stream {view.finished}/{view.streams}")
    if view.current:
        parts.append(view.current)
    return ", ".join(parts)


def printable(text: str) -> str:
    """Return `text` with what could move a terminal's cursor made visible."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}"
        for char in text.replace("\r\n", "\n").replace("\r", "\n")
    )


def _answered(event: Answered) -> str:
    rows = event.output.splitlines()
    if len(rows) > _SHOWN_LINES:
        rows = [*rows[:_SHOWN_LINES], f"… {len(event.output.splitlines()) - _SHOWN_LINES} more"]
    if event.status != 0:
        rows.append(f"(status {event.status})")
    return _indent("\n".join(rows), 6) if rows else ""


def _finished(event: RunFinished) -> str:
    lines = ["", event.summary]
    if event.now:
        lines.append(event.now)
    if event.report:
        lines.append(f"Report: {event.report}")
    if event.page:
        lines.append(f"The same as a page for the browser: {event.page}")
    lines.append(f"({duration(event.seconds)}, exit code {event.exit})")
    return "\n".join(lines)


def _indent(text: str, width: int) -> str:
    return "\n".join(" " * width + line for line in text.split("\n"))


def _write(out: TextIO, text: str) -> None:
    try:
        out.write(text)
        out.flush()
    except UnicodeEncodeError:
        out.write(text.encode("ascii", "backslashreplace").decode())
        out.flush()
    except (OSError, ValueError):
        # A reader that went away costs the view and nothing else.
        return

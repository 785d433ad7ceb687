"""What a run's journal adds up to, over all its tries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zrwizard.plan import Plan, from_json
from zrwizard.run.events import Exit
from zrwizard.run.journal import MAIN


@dataclass(frozen=True, slots=True)
class Span:
    """When a step was at work, in seconds since 1970, and whether it came to its end."""

    step: str
    began: float
    ended: float
    good: bool


@dataclass(slots=True)
class Story:
    """What a journal tells: the last state of everything, over all its tries."""

    head: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    began: float = 0.0
    tries: int = 1
    done: dict[str, tuple[float, bool]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    proofs: dict[str, int] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    acted: dict[str, str] = field(default_factory=dict)
    transfers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    end: Mapping[str, Any] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    counts: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """Of each transfer: moments in seconds since 1970, and the bytes that had come by then."""

    @property
    def exit(self) -> Exit:
        """How it ended; a run that was killed is an interrupted one."""
        try:
            return Exit(int(self.end.get("exit", Exit.INTERRUPTED)))
        except ValueError:
            return Exit.FAILED


def tell(records: Iterable[Mapping[str, Any]]) -> Story:
    """Return what the records add up to; records of unknown kinds are passed over."""
    story = Story()
    last = 0.0
    for record in records:
        before, last = last, float(record.get("at", 0.0))
        match record.get("kind"):
            case "opened":
                story.head = record
                story.began = float(record.get("at", 0.0))
            case "reopened":
                story.tries += 1
                story.failed.clear()
                for step in list(story.started):
                    # It was killed; nobody knows when, but for the last that was heard of it.
                    _span(story, step, before, good=False)
            case "answers":
                story.answers = record.get("answers", {})
            case "plan" if record.get("part") == MAIN:
                story.plan = _plan(str(record.get("plan")))
            case "event":
                _event(story, record.get("what", {}), last)
    return story


def _plan(text: str) -> Plan | None:
    try:
        return from_json(text)
    except ValueError:
        return None


def _event(story: Story, event: Mapping[str, Any], at: float) -> None:
    step = str(event.get("step", ""))
    match event.get("event"):
        case "StepStarted":
            story.started[step] = at
        case "StepDone":
            first = story.done.get(step)
            # A later try only finds again what an earlier one did.
            if first is None or not event["skipped"]:
                story.done[step] = (float(event["seconds"]), bool(event["skipped"]))
            story.failed.pop(step, None)
            if not event["skipped"]:
                _span(story, step, at, good=True)
        case "StepFailed":
            story.failed[step] = str(event["what"])
            _span(story, step, at, good=False)
        case "Answered" if event["role"] == "proof":
            story.proofs[step] = int(event["status"])
            story.shown[step] = str(event["output"])
        case "Answered" if event["role"] == "act" and event["status"] == 0:
            story.acted[step] = str(event["output"])
        case "Progress":
            story.transfers[step] = event
            story.counts.setdefault(step, []).append((at, int(event["received"])))
        case "Note" if event["level"] != "info":
            if event["text"] not in story.notes:
                story.notes.append(str(event["text"]))
        case "RunFinished":
            story.end = event


def _span(story: Story, step: str, at: float, *, good: bool) -> None:
    began = story.started.pop(step, None)
    if began is not None:
        story.spans.append(Span(step, began, at, good))

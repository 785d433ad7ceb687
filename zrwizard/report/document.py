"""What a report says, in sections; how it looks is left to `markdown` and `page`.

A text has the marks of Markdown for what stands within a line: `code` and **strong**.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

from zrwizard.plan import Command, Edit, Fetch, Local, Mend, Phase, Plan, Send, Step, typed_text
from zrwizard.report.story import Story
from zrwizard.report.words import duration, plural, size
from zrwizard.run.events import Doubt, Exit
from zrwizard.transfer.crosscheck import NETWORK, POOL, STREAM, sentence

_WORDS = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "not begun: an answer is missing or wrong",
    Exit.REFUSED: "stopped for safety",
    Exit.UNREACHABLE: "stopped: a machine could not be reached",
    Exit.INTERRUPTED: "interrupted",
}


_TOLD = (
    "source.dataset",
    "source.snapshot",
    "source.boot_environment",
    "target.pool",
    "server.name",
    "server.shape",
    "disk.pool",
)
"""The answers that say what the machine is now."""
_SHORT = 0.01
"""A step that took a smaller part of the whole has no bar."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many texts as the head has; a head of empty texts is not shown."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of texts."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Sh text, and what is said of it."""

    text: str
    code: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A step in time: seconds of work since the first one began."""

    text: str
    began: float
    ended: float
    good: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """The longer steps, in their order; `whole` is the time of all together, in seconds."""

    bars: tuple[Bar, ...]
    whole: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes that had come by moments in seconds since the first one."""

    points: tuple[tuple[float, int], ...]


Block = Table | Bullets | Code | Timeline | Rates


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The whole: its title, the sentences under it, its sections."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]


def document(story: Story) -> Document:
    """Return the report of the run that `story` tells of."""
    plan = story.plan
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(story.began))
    lead = (
        str(story.end.get("summary", "")),
        f"Begun {began}; {plural(story.tries, 'try', 'tries')}; "
        f"the last took {duration(float(story.end.get('seconds', 0.0)))}.",
    )
    title = f"{plan.title if plan else story.head.get('flow', 'Run')}: {_WORDS[story.exit]}"
    found = [_machine(story)]
    if plan is not None:
        found += [_sent(story), _times(story, plan), _changed(story, plan), _here(story, plan)]
        found += [_proofs(story, plan), _steps(story, plan), _commands(story, plan)]
    found += [_notes(story), _next(story)]
    return Document(title, lead, tuple(section for section in found if section.blocks))


def _machine(story: Story) -> Section:
    rows = [("Console", f"`{story.head.get('console', '')}`")]
    rows.append(("Run", f"`{story.head.get('token', '')}`"))
    for disk in story.plan.disks if story.plan else ():
        serial = f"serial number `{disk.serial}`" if disk.serial else "no serial number"
        kind = f", {disk.descr}" if disk.descr else ""
        rows.append(("Disk", f"`{disk.name}`, {serial}, {size(disk.size)}{kind}"))
        rows.append(("It held", disk.summary))
    for key in _TOLD:
        if story.answers.get(key):
            rows.append((key, f"`{story.answers[key]}`"))
    return Section("Machine", (Table(("", ""), tuple(rows)),))


def _sent(story: Story) -> Section:
    blocks: list[Block] = []
    for step, view in story.transfers.items():
        estimate = view.get("estimate")
        guess = f" (estimated {size(estimate)})" if estimate else ""
        whole = "" if view.get("fraction") == 1.0 else " so far"
        said = (
            f"{_label(story, step)}: {view['finished']} of "
            f"{plural(view['streams'], 'stream', 'streams')}{_datasets(view)}{whole}, "
            f"{size(view['received'])} received{guess} in {duration(view['elapsed'])}, "
            f"{size(view['average'])}/s on average."
        )
        blocks.append(Bullets((said, *_counters(view))))
        counts = story.counts.get(step, [])
        if len(counts) > 1:
            first = counts[0][0]
            blocks.append(Rates(tuple((at - first, count) for at, count in counts)))
    return Section("What was sent", tuple(blocks))


def _datasets(view: Mapping[str, Any]) -> str:
    return f" in {plural(view['parts'], 'dataset', 'datasets')}" if view.get("parts") else ""


def _counters(view: Mapping[str, Any]) -> list[str]:
    """Return what each counter of a transfer said; they come from three places."""
    said = []
    if view.get("counted") == STREAM:
        said.append("Received bytes are those of the stream, as zfs counts them.")
    elif view.get("counted") == NETWORK:
        said.append("Received bytes are the network card's count: ssh's overhead is in them.")
    elif view.get("counted") == POOL:
        said.append("Received bytes are the pool's growth: nothing else could be read.")
    if view.get("sent") and view.get("network"):
        said.append(f"The network card counted {size(view['network'])}.")
    if view.get("used"):
        said.append(f"The pool holds {size(view['used'])}.")
    said += [sentence(Doubt(**doubt), size(doubt["excess"])) for doubt in view.get("doubts", ())]
    return said


def _times(story: Story, plan: Plan) -> Section:
    """Return how long each phase took, and each longer step when."""
    titles = {step.id: step.title for step in plan.steps}
    spent = [(step.phase, story.done[step.id][0]) for step in plan.steps if step.id in story.done]
    rows = [
        (phase, duration(sum(seconds for _, seconds in each)))
        for phase, each in groupby(spent, key=lambda pair: pair[0])
    ]
    if not rows:
        return Section("", ())
    blocks: list[Block] = [Table(("phase", "time"), tuple(rows))]
    spans = [span for span in story.spans if span.step in titles]
    if spans:
        # One after the other: the time between two tries is nobody's.
        ends = list(accumulate(max(0.0, span.ended - span.began) for span in spans))
        bars = (
            Bar(titles[span.step], began, ended, span.good)
            for span, began, ended in zip(spans, [0.0, *ends], ends, strict=False)
            if ended - began >= ends[-1] * _SHORT
        )
        blocks.append(Timeline(tuple(bars), ends[-1]))
    return Section("Where the time went", tuple(blocks))


def _mended(story: Story) -> list[str]:
    """Return what became of each file of the restored system, in sentences."""
    steps = story.plan.steps if story.plan else ()
    return [
        said
        for step in steps
        if isinstance(step.action, Mend) and step.id in story.acted
        for said in story.acted[step.id].splitlines()
    ]


def _changed(story: Story, plan: Plan) -> Section:
    edits = [
        (step.action, story.acted[step.id])
        for step in plan.steps
        if isinstance(step.action, Edit) and step.id in story.acted
    ]
    items = [f"`{edit.path}`: {_line(said) or 'written, there was none'}" for edit, said in edits]
    items += map(_line, _mended(story))
    return _list("Files of the system", iter(items))


def _here(story: Story, plan: Plan) -> Section:
    """What was done on the operator's machine; there an act's own last word is its proof."""
    done = (
        f"{_line(step.title)}: {_line(story.acted[step.id])}"
        for step in plan.steps
        if isinstance(step.action, Local | Fetch | Send) and step.id in story.acted
    )
    return _list("On your own machine", done)


def _list(title: str, items: Iterator[str]) -> Section:
    found = tuple(items)
    return Section(title, (Bullets(found),) if found else ())


def _proofs(story: Story, plan: Plan) -> Section:
    """Return what was asked after the steps, and the checks at the end with their own words."""
    blocks = []
    for step in plan.steps:
        if step.phase is Phase.PROOF and isinstance(step.action, Command):
            if step.id in story.failed:
                blocks.append(Code(f"{step.title}: **not proven**", step.action.text))
            elif step.id in story.acted:
                said = _line(story.acted[step.id])
                verdict = f"proven. {said}" if said else "proven"
                blocks.append(Code(f"{step.title}: {verdict}", step.action.text))
        if step.proof and step.id in story.proofs:
            status = story.proofs[step.id]
            verdict = "proven" if status == 0 else f"**not proven** (status {status})"
            blocks.append(Code(f"{step.title}: {verdict}", step.proof))
    return Section("What was proven", tuple(blocks))


def _steps(story: Story, plan: Plan) -> Section:
    rows = tuple((_line(step.title), *_result(story, step)) for step in plan.steps)
    return Section("Steps", (Table(("step", "result", "seconds"), rows),))


def _result(story: Story, step: Step) -> tuple[str, str]:
    if step.id in story.failed:
        return f"**failed**: {_line(story.failed[step.id])}", ""
    if step.id not in story.done:
        return "not begun", ""
    seconds, skipped = story.done[step.id]
    return "was so already" if skipped else "done", f"{seconds:.1f}"


def _commands(story: Story, plan: Plan) -> Section:
    """Return what was typed, or done otherwise, by each step that was not done already."""
    did = [
        step
        for step in plan.steps
        if step.id in story.failed or not story.done.get(step.id, (0.0, True))[1]
    ]
    blocks = tuple(Code(_line(step.title), typed_text(step.action)) for step in did)
    return Section("Commands", blocks)


def _notes(story: Story) -> Section:
    notes = [*(story.plan.notes if story.plan else ()), *story.notes]
    return _list("Notes", (_line(note) for note in notes))


def _next(story: Story) -> Section:
    now = str(story.end.get("now", "")).strip()
    items = [now] if now else []
    if story.exit is Exit.DONE:
        if any("was left as it is" in said for said in _mended(story)):
            items.append(_LEFT)
        items += _AFTER.get(story.plan.flow if story.plan else "", ())
    else:
        items.append("Nothing that was proven is lost: the same command goes on from there.")
    return Section("What to do next", (Bullets(tuple(items)),) if items else ())


_LEFT = (
    "Look at the settings that were left as they are, named above: a device or a network card that "
    "is not there may stop the start, or leave the machine without a network."
)
_AFTER = {
    "restore": (
        "Log in as a user of the restored system, with its passwords: the live system's are gone.",
        "A router, or a server that gives out addresses, may still know the old network card's MAC "
        "address.",
        "Take the next backup soon: an incremental stream from the restored snapshot proves that "
        "the chain goes on (`zfs send -nv -i`).",
    ),
    "server": (
        "Print the sheet that lies beside the keys, and keep it with the server's papers: it "
        "says how everything is done by hand. There is no secret on it.",
        "Carry a copy of the escrow bundle to another house, and its passphrase, on paper, to "
        "a third place. If this machine is lost, nothing else opens the backups; nobody can "
        "help where the bundle or the passphrase is lost too.",
        "`zrwizard keys check NAME` says what is about to expire; let it remind you once a month.",
        "Take the first backup while the server still stands beside you, where the network is "
        "fast; then carry it away.",
    ),
}


def _label(story: Story, step: str) -> str:
    steps = story.plan.steps if story.plan else ()
    return next((_line(found.title) for found in steps if found.id == step), step)


def _line(text: str) -> str:
    return " ".join(text.split())

"""The report after a run, as Markdown, made from the run's journal alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zrwizard.plan import Edit, Fetch, Local, Plan, Send, Step, from_json
from zrwizard.run.events import Doubt, Exit
from zrwizard.run.journal import MAIN
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


def render(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the report of the run that `records` (`journal.read`) tell of."""
    story = tell(records)
    plan = story.plan
    parts = [_title(story), _machine(story)]
    if plan is not None:
        parts += [_sent(story), _changed(story, plan), _here(story, plan)]
        parts += [_proofs(story, plan), _steps(story, plan)]
    parts += [_notes(story), _next(story)]
    return "\n".join(part for part in parts if part)


def tell(records: Iterable[Mapping[str, Any]]) -> Story:
    """Return what the records add up to; records of unknown kinds are passed over."""
    story = Story()
    for record in records:
        match record.get("kind"):
            case "opened":
                story.head = record
                story.began = float(record.get("at", 0.0))
            case "reopened":
                story.tries += 1
                story.failed.clear()
            case "answers":
                story.answers = record.get("answers", {})
            case "plan" if record.get("part") == MAIN:
                story.plan = _plan(str(record.get("plan")))
            case "event":
                _event(story, record.get("what", {}))
    return story


def _plan(text: str) -> Plan | None:
    try:
        return from_json(text)
    except ValueError:
        return None


def _event(story: Story, event: Mapping[str, Any]) -> None:
    step = str(event.get("step", ""))
    match event.get("event"):
        case "StepDone":
            first = story.done.get(step)
            # A later try only finds again what an earlier one did.
            if first is None or not event["skipped"]:
                story.done[step] = (float(event["seconds"]), bool(event["skipped"]))
            story.failed.pop(step, None)
        case "StepFailed":
            story.failed[step] = str(event["what"])
        case "Answered" if event["role"] == "proof":
            story.proofs[step] = int(event["status"])
            story.shown[step] = str(event["output"])
        case "Answered" if event["role"] == "act" and event["status"] == 0:
            story.acted[step] = str(event["output"])
        case "Progress":
            story.transfers[step] = event
        case "Note" if event["level"] != "info":
            if event["text"] not in story.notes:
                story.notes.append(str(event["text"]))
        case "RunFinished":
            story.end = event


def _title(story: Story) -> str:
    code = _exit(story)
    plan = story.plan
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(story.began))
    lines = [
        f"# {plan.title if plan else story.head.get('flow', 'Run')}: {_WORDS[code]}",
        "",
        str(story.end.get("summary", "")),
        "",
        f"Begun {began}; {_plural(story.tries, 'try', 'tries')}; "
        f"the last took {duration(float(story.end.get('seconds', 0.0)))}.",
        "",
    ]
    return "\n".join(lines)


def _machine(story: Story) -> str:
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
    table = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows)
    return f"## Machine\n\n| | |\n| --- | --- |\n{table}\n"


def _sent(story: Story) -> str:
    if not story.transfers:
        return ""
    lines = ["## What was sent", ""]
    for step, view in story.transfers.items():
        estimate = view.get("estimate")
        guess = f" (estimated {size(estimate)})" if estimate else ""
        whole = "" if view.get("fraction") == 1.0 else " so far"
        lines.append(
            f"* {_label(story, step)}: {view['finished']} of "
            f"{_plural(view['streams'], 'stream', 'streams')}{_datasets(view)}{whole}, "
            f"{size(view['received'])} received{guess} in {duration(view['elapsed'])}, "
            f"{size(view['average'])}/s on average."
        )
        lines += [f"* {said}" for said in _counters(view)]
    lines.append("")
    return "\n".join(lines)


def _datasets(view: Mapping[str, Any]) -> str:
    return f" in {_plural(view['parts'], 'dataset', 'datasets')}" if view.get("parts") else ""


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


def _changed(story: Story, plan: Plan) -> str:
    edits = [
        (step.action, story.acted[step.id])
        for step in plan.steps
        if isinstance(step.action, Edit) and step.id in story.acted
    ]
    if not edits:
        return ""
    lines = ["## Files of the system", ""]
    lines += [
        f"* `{edit.path}`: {_cell(said) or 'written, there was none'}" for edit, said in edits
    ]
    return "\n".join(lines) + "\n"


def _here(story: Story, plan: Plan) -> str:
    """What was done on the operator's machine; there an act's own last word is its proof."""
    done = [
        step
        for step in plan.steps
        if isinstance(step.action, Local | Fetch | Send) and step.id in story.acted
    ]
    if not done:
        return ""
    lines = ["## On your own machine", ""]
    lines += [f"* {_cell(step.title)}: {_cell(story.acted[step.id])}" for step in done]
    return "\n".join(lines) + "\n"


def _proofs(story: Story, plan: Plan) -> str:
    rows = [step for step in plan.steps if step.proof and step.id in story.proofs]
    if not rows:
        return ""
    lines = ["## What was proven", ""]
    for step in rows:
        status = story.proofs[step.id]
        verdict = "proven" if status == 0 else f"**not proven** (status {status})"
        lines += [f"* {step.title}: {verdict}", "", _block(step.proof or ""), ""]
    return "\n".join(lines)


def _steps(story: Story, plan: Plan) -> str:
    lines = ["## Steps", "", "| step | result | seconds |", "| --- | --- | --- |"]
    for step in plan.steps:
        lines.append(f"| {_cell(step.title)} | {_result(story, step)} |")
    return "\n".join(lines) + "\n"


def _result(story: Story, step: Step) -> str:
    if step.id in story.failed:
        return f"**failed**: {_cell(story.failed[step.id])} | "
    if step.id not in story.done:
        return "not begun | "
    seconds, skipped = story.done[step.id]
    return f"{'was so already' if skipped else 'done'} | {seconds:.1f}"


def _notes(story: Story) -> str:
    notes = [*(story.plan.notes if story.plan else ()), *story.notes]
    if not notes:
        return ""
    return "## Notes\n\n" + "\n".join(f"* {_cell(note)}" for note in notes) + "\n"


def _next(story: Story) -> str:
    now = str(story.end.get("now", "")).strip()
    lines = ["## What to do next", ""]
    if now:
        lines.append(f"* {now}")
    if _exit(story) is Exit.DONE:
        lines += _AFTER.get(story.plan.flow if story.plan else "", ())
    else:
        lines.append("* Nothing that was proven is lost: the same command goes on from there.")
    return "\n".join(lines) + "\n"


_AFTER = {
    "restore": (
        "* Log in as a user of the restored system, with its passwords: the live system's are "
        "gone.",
        "* Look at `ifconfig -l` and at the `ifconfig_…` lines of `/etc/rc.conf`: a new machine's "
        "network cards may have other names, and a router may know the old MAC address.",
        "* Look at `/etc/fstab` and `/boot/loader.conf` for device names of the old machine; swap "
        "is on the label `gpt/swap0` where the plan made one.",
        "* Take the next backup soon: an incremental stream from the restored snapshot proves that "
        "the chain goes on (`zfs send -nv -i`).",
    ),
    "server": (
        "* Print the sheet that lies beside the keys, and keep it with the server's papers: it "
        "says how everything is done by hand. There is no secret on it.",
        "* Carry a copy of the escrow bundle to another house, and its passphrase, on paper, to "
        "a third place. If this machine is lost, nothing else opens the backups; nobody can "
        "help where the bundle or the passphrase is lost too.",
        "* `zrwizard keys check NAME` says what is about to expire; let it remind you once a "
        "month.",
        "* Take the first backup while the server still stands beside you, where the network is "
        "fast; then carry it away.",
    ),
}


def _exit(story: Story) -> Exit:
    try:
        return Exit(int(story.end.get("exit", Exit.INTERRUPTED)))
    except ValueError:
        return Exit.FAILED


def _label(story: Story, step: str) -> str:
    steps = story.plan.steps if story.plan else ()
    return next((_cell(found.title) for found in steps if found.id == step), step)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _block(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    body = "\n".join("  " + line for line in [f"{fence}sh", *text.split("\n"), fence])
    return body


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def size(count: float) -> str:
    """Return bytes for people: 1024-based, one decimal, `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} PiB"


def duration(seconds: float) -> str:
    """Return seconds for people: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

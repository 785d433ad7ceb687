"""A plan for people without the wizard: a POSIX sh script, and a runbook in Markdown.

Both hold the very commands that the wizard would run. Neither holds a secret.
"""

from __future__ import annotations

import re
from typing import assert_never

from zrwizard import edits
from zrwizard.freebsd import sh, size
from zrwizard.plan import (
    Action,
    Command,
    Danger,
    Dialogue,
    Edit,
    Feed,
    Fetch,
    Identity,
    Leave,
    Local,
    Mend,
    Plan,
    Send,
    Step,
    Transfer,
    Upload,
    difference,
    fed,
)

_HEAD = """\
#!/bin/sh
# {title}
#
# Made by zrwizard; the same commands as its plan of {count} steps, to be run by hand as root on
# the target. It stops at the first failure, and can be started again: each step looks first.
# A console can go away: run it under `nohup` or in a terminal that stays, when the transfer is long.
{notes}
# Every question runs in a subshell, so that its `exit` ends the question and not the script;
# what stands in single quotes is meant as it stands.
# shellcheck disable=SC2235,SC2016
set -u
umask 077
state={state}
mkdir -p "$state" || exit 1

say() {{ printf '%s\\n' "$*"; }}
fail() {{ printf '%s\\n' "$*" >&2; exit 1; }}

# step ID TITLE ERASES INPUT: look (an erasing step only if it was begun before), guard, act, prove.
step() {{
  say "== $2"
  if [ "$3" = no ] || [ -e "$state/$1" ]; then
    if look </dev/null >/dev/null 2>&1; then
      say "   was so already"
      return 0
    fi
  fi
  guard </dev/null || fail "Refused: the step '$1' is not safe now. Nothing was done by it."
  if [ -e "$state/$1" ]; then again </dev/null || fail "Failed: what '$1' left cannot be cleared."; fi
  : > "$state/$1"
  if [ "$4" = terminal ]; then act; else act </dev/null; fi || fail "Failed: '$1'. Nothing after it was done."
  proof </dev/null || fail "Failed: '$1' was done but is not proven."
}}
"""  # noqa: E501 - sh text

_CONFIRM = """
say {erases}
say {held}
printf '%s' {prompt}
IFS= read -r typed || exit 1
[ "$typed" = {identity} ] || fail "Refused: that is not the disk's identity. Nothing was done."
"""

_TAIL = """
say "All steps are done and proven."
"""


def to_sh(plan: Plan) -> str:
    """Return `plan` as one POSIX sh script; it passes `sh -n` and shellcheck."""
    notes = "".join(f"# * {_comment(note)}\n" for note in plan.notes)
    parts = [
        _HEAD.format(
            title=_comment(plan.title),
            count=len(plan.steps),
            notes="#\n" + notes if notes else "",
            state=sh.quote(f"/tmp/zr-{plan.token}.steps"),  # noqa: S108 - on the target
        )
    ]
    if plan.erases:
        parts += map(_confirmation, plan.disks)
    parts += [_step(step) for step in plan.steps]
    return "\n".join(parts) + _TAIL


def _comment(text: str) -> str:
    return " ".join(text.split())


def _confirmation(disk: Identity) -> str:
    name = f"{disk.name}, {disk.descr}" if disk.descr else disk.name
    what = "serial number" if disk.serial else "name and size in bytes"
    return _CONFIRM.format(
        erases=sh.quote(f"This erases the disk {name} with {size.human(disk.size)}."),
        held=sh.quote(f"It held, when it was surveyed: {disk.summary}."),
        prompt=sh.quote(f"Type the {what} of the disk ({disk.typed}) to go on: "),
        identity=sh.quote(disk.typed),
    )


def _step(step: Step) -> str:
    again = step.action.reset if isinstance(step.action, Transfer) else ""
    erases = "yes" if step.danger is Danger.ERASES else "no"
    people = isinstance(step.action, Dialogue | Fetch | Send | Local)
    where = "terminal" if people else "none"
    words = sh.join(["step", step.id, step.title, erases, where])
    head = f"# --- {step.id}: {_comment(step.why)}"
    if step.destroys:
        head += f"\n# Destroys: {_comment(step.destroys)}"
    return "\n".join(
        (
            head,
            _function("look", step.look or "exit 1"),
            _function("guard", step.guard or ":"),
            _function("again", again or ":"),
            _function("act", _act(step.action)),
            _function("proof", step.proof or ":"),
            words,
            "",
        )
    )


def _function(name: str, body: str) -> str:
    return f"{name}() (\n{body}\n)"


def _act(action: Action) -> str:
    match action:
        case Command(text=text) | Dialogue(text=text) | Transfer(text=text) | Leave(text=text):
            return text
        case Upload(path=path, mode=mode, content=content, secret=secret):
            if secret is not None:
                what = f"Put the secret '{secret}' into {path} (chmod {mode:o}), and start again."
                put = f"printf '%s\\n' {sh.quote(what)} >&2"
                return f"[ -s {sh.quote(path)} ] || {{ {put}; exit 1; }}"
            written = edits.here(sh.quote(path), content or "")
            return f"{written}\nchmod {mode:o} {sh.quote(path)}"
        case Feed(text=text, secret=secret):
            return _fed(text, secret)
        case Edit():
            return edits.script(action)
        case Mend():
            return f"{action.before} || exit 1\n{_waits(_to_look_at(action))}\n{action.after}"
        case Fetch(path=path, name=name):
            what = f"Copy {path} from here to {name} on your own machine (chmod 600). cksum:"
            return _elsewhere(what, f"cksum < {sh.quote(path)} || exit 1")
        case Send(name=name, path=path, mode=mode):
            what = f"Copy {name}, beside the keys there, to {path} here."
            there = f"[ -s {sh.quote(path)} ] && chmod {mode:o} {sh.quote(path)}"
            return f"{_elsewhere(what)}\n{there}"
        case Local(text=text):
            return _elsewhere(text)
        case _:
            assert_never(action)


def _to_look_at(action: Mend) -> str:
    """Return what a person is to look at, since a script cannot ask for each difference."""
    swap = ", ".join(device + ".eli" * action.seal for device in action.swap) or "none"
    serial = "".join(f', {name}="{value}"' for name, value in action.console)
    gone = f", and remove {action.root}/etc/hostid and machine-id: new ones are made at the start"
    return (
        f"Look at {action.root}/etc/fstab (swap is {swap}; the EFI partition is "
        f"{' or '.join(action.esp) or 'none'}), {action.root}/etc/rc.conf (the network card "
        f"is {action.nic}) and {action.root}/boot/loader.conf (a root that is set "
        f"must be zfs:{action.boot}{serial}){gone * action.renew}"
    )


def _fed(text: str, secret: str) -> str:
    """Return `text` reading a secret from the file that a variable names; it stands nowhere."""
    name = "ZR_" + re.sub(r"[^A-Za-z0-9]", "_", secret).upper()
    what = (
        f"Put the secret '{secret}' into a file on a memory disk (chmod 600), set {name} to its "
        "path, and start again; remove it at the end."
    )
    return (
        f"if [ ! -r \"${{{name}:-}}\" ]; then printf '%s\\n' {sh.quote(what)} >&2; exit 1; fi\n"
        f'(\n{text}\n) < "${name}"'
    )


def _elsewhere(what: str, then: str = "") -> str:
    """Return text that says what to do on the operator's machine, and waits for Enter."""
    return _waits(f"On your own machine: {what}", then)


def _waits(told: str, then: str = "") -> str:
    """Return text that says what a person is to do, does `then`, and waits for Enter."""
    lines = [f"printf '%s\\n' {sh.quote(told)}", *([then] if then else [])]
    lines += ["printf '%s' 'Press Enter when that is done: '", "IFS= read -r _"]
    return "\n".join(lines)


def to_markdown(plan: Plan) -> str:
    """Return `plan` as a runbook: every command with reason, danger, checks and proof."""
    parts = [f"# {_inline(plan.title)}", ""]
    for disk in plan.disks:
        parts += [_disk(disk), ""]
    parts += [f"* {_inline(note)}" for note in plan.notes] + ([""] if plan.notes else [])
    phase = ""
    for number, step in enumerate(plan.steps, 1):
        if step.phase != phase:
            phase = step.phase
            parts += [f"## {phase.capitalize()}", ""]
        parts += _section(number, step)
    return "\n".join(parts).rstrip("\n") + "\n"


def _disk(disk: Identity) -> str:
    serial = f"serial number `{disk.serial}`" if disk.serial else "no serial number"
    descr = f", {_inline(disk.descr)}" if disk.descr else ""
    return (
        f"**Erases the disk `{disk.name}`{descr}: {serial}, {disk.size} bytes "
        f"({size.human(disk.size)}).** It held: {_inline(disk.summary)}."
    )


def _section(number: int, step: Step) -> list[str]:
    parts = [f"### {number}. {_inline(step.title)}", "", _inline(step.why), ""]
    if step.danger is Danger.ERASES:
        parts += [f"**Erases.** {_inline(step.destroys or '')}".rstrip(), ""]
    for what, text in (
        ("Skipped if this succeeds", step.look),
        ("Only if this succeeds", step.guard),
    ):
        if text:
            parts += [f"{what}:", "", _block(text), ""]
    what, language, text = _by_hand(step.action)
    parts += [what, "", _block(text, language), ""]
    if isinstance(step.action, Transfer) and step.action.reset:
        parts += ["Before another try:", "", _block(step.action.reset), ""]
    if step.proof:
        parts += ["Proven if this succeeds:", "", _block(step.proof), ""]
    return parts


def _by_hand(action: Action) -> tuple[str, str, str]:
    """Return for people: what to do with a text, the language it is in, and the text."""
    match action:
        case Command():
            return "Run:", "sh", action.text
        case Dialogue():
            return "Type this, and answer its prompts:", "sh", action.text
        case Upload():
            return "Write this file:", "sh", _act(action)
        case Transfer():
            long = "Run this, detached from the terminal (`nohup sh FILE &`); it takes long:"
            return long, "sh", action.text
        case Leave():
            return "Leave:", "sh", action.text
        case Feed(text=text, secret=secret):
            where = f"KEYFILE holds the secret `{secret}`, on a memory disk, and is removed after"
            return f"Run this; {where}:", "sh", fed(text, "KEYFILE")
        case Edit():
            return "Change this file:", "diff", difference(action)
        case Mend():
            return (
                f"{_to_look_at(action)}. Mount it before, and unmount it after:",
                "sh",
                f"{action.before}\n{action.after}",
            )
        case Fetch() | Send() | Local():
            return "On your own machine:", "sh", _here(action)
        case _:
            assert_never(action)


def _here(action: Fetch | Send | Local) -> str:
    match action:
        case Fetch(path=path, name=name):
            return f"# copy {path} of the target to {name} on your own machine (chmod 600)"
        case Send(name=name, path=path, mode=mode):
            return f"# copy {name}, beside the keys, to {path} on the target (chmod {mode:o})"
        case Local(text=text):
            return text
        case _:
            assert_never(action)


def _inline(text: str) -> str:
    """`text` as Markdown that shows exactly its characters."""
    return re.sub(r"([\\`*_<>\[\]#|])", r"\\\1", _comment(text))


def _block(text: str, language: str = "sh") -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"

"""What a preview may do beyond looking, as plans: a mount that was agreed to, and one file's copy.

Pure, like every flow. A mount goes read-only to a private directory below the run's own
(`mount -t zfs`, which takes any file system whatever its `mountpoint` says): `zfs mount` would put
a received tree over the live paths that it was made from (restore-pitfalls 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zrwizard.facts import Facts
from zrwizard.flows import shtext
from zrwizard.flows.moves import Answers, Key, Move, Stuck
from zrwizard.freebsd import sh
from zrwizard.plan import Command, Danger, Phase, Plan, Problem, Step

FLOW = "preview"
TITLE = "Look at what changed (read-only)"
_NAME_MAX = 255
_MOUNT_SECONDS = 120.0
_COPY_SECONDS = 3600.0


def mounts_dir(home: str, turn: int = 1) -> str:
    """Return the directory below the run's `home` that holds the mounts of its plan `turn`."""
    return f"{home}/mounts-{turn}"


def mount_point(home: str, number: int, turn: int = 1) -> str:
    """Return where the dataset `number` (from 1) of the mount plan `turn` is mounted."""
    return f"{mounts_dir(home, turn)}/{number}"


@dataclass(frozen=True, slots=True)
class Preview:
    """The flow by its name. It plans nothing by itself: what it shows, the operator walks through.

    `keys` are what its screens may be told beforehand.
    """

    name: str = FLOW
    title: str = TITLE
    keys: tuple[Key, ...] = (
        Key("preview.tree", "The dataset to look at.", "zroot"),
        Key("preview.from", "The older snapshot, without the dataset.", "daily-1"),
        Key("preview.to", "The newer one, newest, or now.", "newest", "newest"),
        Key("preview.recursive", "Every dataset below it as well: yes or no.", "yes", "no"),
    )

    def next_move(self, facts: Facts, answers: Answers) -> Move:
        """There is no plan at its end, and so no question that leads to one."""
        del facts, answers
        return Stuck(
            (Problem(FLOW, "A preview makes no plan.", "Look with: zrwizard preview --console …"),)
        )


PREVIEW = Preview()


# --- mounting what is not mounted -----------------------------------------------------------------


def mount_plan(token: str, home: str, datasets: Sequence[str], turn: int = 1) -> Plan:
    """Return the plan that mounts `datasets` read-only, each in a private directory of its own.

    `home` is the run's private directory on the target (mode 700), `turn` counts its mount plans.
    Source: mount(8); facts B5 on why zfs diff wants them mounted.
    """
    steps = [
        _mount_step(name, mount_point(home, number, turn), number)
        for number, name in enumerate(datasets, 1)
    ]
    return Plan(
        FLOW,
        token,
        f"Mount {_count(datasets)} read-only for the preview",
        tuple(steps),
        notes=("Everything that is mounted here is unmounted again when the preview ends.",),
    )


def undo_plan(token: str, home: str, datasets: Sequence[str], turn: int = 1) -> Plan:
    """Return the plan that takes away what `mount_plan` made, however far that had come."""
    points = [mount_point(home, number, turn) for number in range(1, len(datasets) + 1)]
    steps = [
        _unmount_step(name, point, number)
        for number, (name, point) in enumerate(zip(datasets, points, strict=True), 1)
    ]
    directories = " ".join(map(sh.quote, [*points, mounts_dir(home, turn)]))
    gone = f"[ ! -e {sh.quote(mounts_dir(home, turn))} ]"
    steps.append(
        Step(
            id="tidy",
            phase=Phase.POOL,
            title="Remove the empty mount points",
            why="rmdir takes empty directories only, so nothing that is still mounted is touched.",
            action=Command(
                f'for d in {directories}\ndo\n  [ ! -e "$d" ] || rmdir "$d" || exit 1\ndone'
            ),
            danger=Danger.CHANGES,
            look=gone,
            proof=gone,
        )
    )
    return Plan(FLOW, token, f"Unmount {_count(datasets)} again", tuple(steps))


def _mount_step(dataset: str, point: str, number: int) -> Step:
    name = sh.quote(dataset)
    mounted = sh.same_text(sh.command("zfs", "get", "-H", "-o", "value", "mounted", dataset), "no")
    return Step(
        id=f"mount-{number}",
        phase=Phase.POOL,
        title=f"Mount {dataset} read-only",
        why=f"zfs diff answers for mounted datasets only; at {point} nobody else can reach it.",
        action=Command(
            sh.all_of(
                sh.command("umask", "077"),
                sh.command("mkdir", "-p", point),
                sh.command("mount", "-t", "zfs", "-o", "ro", dataset, point),
            ),
            timeout=_MOUNT_SECONDS,
        ),
        danger=Danger.CHANGES,
        look=_is_mounted(dataset, point, read_only=True),
        guard=f"{mounted} || "
        + shtext.refuse(f"{dataset} is mounted by now, or it is gone: look at it again."),
        proof=_is_mounted(dataset, point, read_only=True)
        + f" || {{ printf '%s is not mounted read-only at %s.\\n' {name} {sh.quote(point)} >&2; "
        "exit 1; }",
    )


def _unmount_step(dataset: str, point: str, number: int) -> Step:
    free = f"! {_is_mounted('', point)}"
    return Step(
        id=f"unmount-{number}",
        phase=Phase.POOL,
        title=f"Unmount {dataset}",
        why="It was not mounted before the preview.",
        action=Command(sh.command("umount", point), timeout=_MOUNT_SECONDS),
        danger=Danger.CHANGES,
        look=free,
        guard=f"{_is_mounted(dataset, point)} || "
        + shtext.refuse(f"What is mounted at {point} is not {dataset}."),
        proof=free,
    )


def _is_mounted(dataset: str, point: str, *, read_only: bool = False) -> str:
    """Succeeds if `dataset` (anything, where it is empty) is mounted at `point`; mount(8).

    /tmp may be a symbolic link, and mount prints where it leads.
    """
    where = f"d=$(cd {sh.quote(point)} 2>/dev/null && pwd -P)"
    row = f'mount | grep -F -e {sh.quote(f"{dataset} on ")}"$d "'
    if read_only:
        return f"{{ {where} && {row} | grep -E -q -e '[(, ](read-only|ro)[,)]'; }}"
    return f"{{ {where} && {row} >/dev/null; }}"


def _count(datasets: Sequence[str]) -> str:
    return datasets[0] if len(datasets) == 1 else f"{len(datasets)} datasets"


# --- one old version beside the present one -------------------------------------------------------


def beside(present: bytes, tag: str) -> bytes:
    """Return where the version of snapshot `tag` is put beside the file `present`."""
    return present + b".zr-" + tag.encode()


def copy_plan(token: str, dataset: str, source: bytes, present: bytes, tag: str) -> Plan | Problem:
    """Return the plan that copies an old version to `beside(present, tag)`, never over anything.

    `source` is the file in the snapshot (`MOUNT/.zfs/snapshot/TAG/...`), `present` where it is, or
    was, in `dataset`; both absolute. The copy keeps mode, owner, times and flags (cp(1) -p) and is
    proven by cmp(1).
    """
    target = beside(present, tag)
    problem = _unfit(source, present, target)
    if problem is not None:
        return problem
    old, new = _text(source), _text(target)
    same = sh.command("cmp", "-s", old, new)
    step = Step(
        id="copy",
        phase=Phase.POOL,
        title=f"Copy the version of {tag} beside {shown(present)}",
        why="Nothing is overwritten: the present file stays as it is, and so does the snapshot.",
        action=Command(
            f"{_nothing_at(new)} && {sh.command('cp', '-p', old, new)}", timeout=_COPY_SECONDS
        ),
        danger=Danger.CHANGES,
        look=f"[ -f {sh.quote(new)} ] && [ ! -L {sh.quote(new)} ] && {same}",
        guard=_copy_guard(dataset, old, new, shown(target)),
        proof=f"[ ! -L {sh.quote(new)} ] && {same}",
        proof_timeout=_COPY_SECONDS,
    )
    return Plan(FLOW, token, f"Copy {shown(source)} to {shown(target)}", (step,))


def _unfit(source: bytes, present: bytes, target: bytes) -> Problem | None:
    for path in (source, present):
        parts = path.split(b"/")
        if not path.startswith(b"/") or b"\0" in path or ".." in map(_text, parts):
            return Problem(
                "preview.path",
                f"{shown(path)} is not the whole path of a file.",
                "Give the path as the preview shows it.",
            )
    if len(target.rpartition(b"/")[2]) > _NAME_MAX:
        return Problem(
            "preview.path",
            f"{shown(target)} would have a name of more than {_NAME_MAX} bytes.",
            "Fetch it to your own machine instead: --get PATH --output FILE.",
        )
    return None


def _copy_guard(dataset: str, old: str, new: str, told: str) -> str:
    """Leaves with 1 unless the copy goes where it should, and into nothing that exists."""

    def value(prop: str, wanted: str) -> str:
        get = sh.command("zfs", "get", "-H", "-o", "value", prop, dataset)
        return sh.same_text(get, wanted)

    def real(path: str) -> str:
        # The dot keeps a newline at the end of a directory's name, which $(...) would drop.
        here = f'"$(cd {sh.quote(path)} && pwd -P && echo .)"'
        return f"[ {here} = {sh.quote(path + chr(10) + '.')} ]"

    return shtext.lines(
        f"{{ [ -f {sh.quote(old)} ] && [ ! -L {sh.quote(old)} ]; }} || "
        + shtext.refuse("The snapshot has no such regular file."),
        f"{real(_parent(old))} || "
        + shtext.refuse("In the snapshot it is reached through a symbolic link only."),
        f"{value('mounted', 'yes')} || " + shtext.refuse(f"{dataset} is not mounted."),
        f"{value('readonly', 'off')} || " + shtext.refuse(f"{dataset} is mounted read-only."),
        f"{real(_parent(new))} || "
        + shtext.refuse("Its directory is gone, or is reached through a symbolic link by now."),
        f"{{ {_nothing_at(new)}; }} || "
        + shtext.refuse(f"{told} is there already; nothing is ever overwritten."),
    )


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _nothing_at(path: str) -> str:
    return f"[ ! -e {sh.quote(path)} ] && [ ! -L {sh.quote(path)} ]"


# --- names for people -----------------------------------------------------------------------------


def shown(path: bytes) -> str:
    r"""Return a path as people may see it: what could move a cursor, and bad UTF-8, as \xNN."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in char.encode())
        for char in text
    )


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")

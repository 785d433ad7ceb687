"""A plan: a frozen list of steps that nobody has done yet.

Everything that a step does, looks at or proves is POSIX sh text. So the plan can be run by the
wizard, printed as a runbook, or exported as a script: all three are the same commands.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, assert_never


class Phase(StrEnum):
    """The chapters of a plan, in the order in which they are run."""

    NETWORK = "network"
    LOGIN = "login"
    KEYS = "keys"
    DISK = "disk"
    ESCROW = "escrow"
    POOL = "pool"
    TRANSFER = "transfer"
    BOOT = "boot"
    ACCESS = "access"
    RECEIVER = "receiver"
    SYSTEM = "system"
    TRIAL = "trial"
    PROOF = "proof"
    FINISH = "finish"


class Danger(StrEnum):
    """What a step can cost: nothing, a change that a reboot undoes, or what a disk held."""

    NONE = "none"
    CHANGES = "changes"
    ERASES = "erases"


@dataclass(frozen=True, slots=True)
class Command:
    """Run `text` with stdin from /dev/null; it must end with status 0 within `timeout` seconds."""

    text: str
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One prompt that a dialogue may show: `pattern` (regex) is answered with secret `secret`."""

    pattern: str
    secret: str
    max_uses: int = 1


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Run `text` on the terminal, answering its prompts; for ssh's and geli's questions."""

    text: str
    answers: tuple[Answer, ...]
    timeout: float = 120.0


@dataclass(frozen=True, slots=True)
class Upload:
    """Write a file on the target: public `content`, or the secret called `secret`."""

    path: str
    mode: int
    content: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """One dataset of a transfer: its name where it is received, and its estimated bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A long job, run detached on the target as `job` and polled.

    `text` is the whole job script; `reset` clears what an earlier, broken try left (run only when
    this run itself had started the transfer before), "" where it goes on from that. `estimate` is
    the stream's size in bytes as `zfs send -nvP` guesses it, None where unknown; `streams` the
    number of streams expected; `nic` the interface whose netstat counters are watched; `pool` the
    pool that grows; `shares` are the datasets in it, for their own progress. `mover` is the
    directory in which the mover (docs/transfers.md) tells its state, "" where the job is none;
    `lanes` of its streams come side by side.
    """

    text: str
    job: str
    pool: str
    nic: str
    estimate: int | None
    streams: int
    reset: str
    shares: tuple[Share, ...] = ()
    mover: str = ""
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Leave:
    """The target goes away by `text`; then watch the console until `until` or `timeout` seconds.

    `until` is "login" (it boots and asks for a login) or "down" (power off). `secret` is typed
    where loader or kernel ask for a passphrase on the way.
    """

    text: str
    until: str
    timeout: float = 600.0
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """Run `text` with the secret `secret` as its standard input, and within `timeout` seconds.

    The secret passes through the target's memory only: no file, no argument, no environment.
    """

    text: str
    secret: str
    timeout: float = 120.0


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text file `path` by `content`, at once; the old one is kept as `backup`.

    `was` is what the survey read, None where there was no file; anything else there now stops the
    run for safety. A file that holds `content` already is left alone. A `mode` of None is the old
    file's.
    """

    path: str
    mode: int | None
    content: str
    was: str | None
    backup: str


@dataclass(frozen=True, slots=True)
class Mend:
    """Fit the settings of the restored system below `root` to the machine that it is on now.

    What they need is known only when they have come (`zrwizard.mending`): each difference is shown,
    and written where the operator agrees. With the `policy` "write" that was agreed to beforehand,
    with "leave" it is only shown. `before` and `after` (sh) mount and unmount the system, the old
    files are kept with `suffix`. `boot` is the file system that is started; `nic` the interface
    that was used, among all `nics`; `others` are the disks that were not erased. `swap` and `esp`
    are the new partitions' devices, as fstab names them; with `seal` swap gets a new key at each
    start. `serial` is the serial line over which the machine speaks (`ttyu0`, empty for none),
    `console` the settings by which a loader does so. With `renew` the old hostid is put aside, and
    the system makes itself a new one.
    """

    root: str
    before: str
    after: str
    policy: str
    suffix: str
    boot: str
    nic: str
    nics: tuple[str, ...]
    others: tuple[str, ...]
    swap: tuple[str, ...]
    esp: tuple[str, ...]
    serial: str = ""
    console: tuple[tuple[str, str], ...] = ()
    renew: bool = False
    seal: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """Copy the target's file `path` to the operator's machine (0600).

    There it is `name`, beside the keys, or beside the run's journal where the flow has none.
    """

    path: str
    name: str
    timeout: float = 120.0


@dataclass(frozen=True, slots=True)
class Send:
    """Copy the file `name`, public and beside the keys, to `path` on the target: `Fetch` reversed.

    It goes by way of a new file in the same directory, so that `path` is the old text or the new.
    """

    name: str
    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Local:
    """Something done on the operator's own machine: `act` with `detail`, see `run.operator`.

    `text` is what one would type there by hand, for people to read. It looks first, and proves
    itself; so it may be done any number of times.
    """

    act: str
    detail: tuple[str, ...]
    text: str
    timeout: float = 300.0


Action = Command | Dialogue | Upload | Transfer | Leave | Feed | Edit | Mend | Fetch | Send | Local


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, with its reason, its price and its proofs.

    `look` (sh; status 0: already so) is asked first: for harmless steps always, for steps that
    erase only when this very run had begun them before (an older table that looks the same is
    somebody else's). `guard` (sh; status 0: go on) is asked right before acting; anything else
    stops the run for safety. `proof` (sh; status 0: proven) is asked right after.
    """

    id: str
    phase: Phase
    title: str
    why: str
    action: Action
    danger: Danger = Danger.NONE
    destroys: str | None = None
    look: str | None = None
    guard: str | None = None
    proof: str | None = None
    proof_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Which disk a plan is bound to: serial number, size in bytes, and what it held.

    `contents` is the output of `gpart backup NAME 2>/dev/null | cksum` at the time of the survey;
    `summary` says the same for people.
    """

    name: str
    serial: str | None
    size: int
    descr: str | None
    contents: str
    summary: str

    @property
    def typed(self) -> str:
        """What the operator types to confirm: the serial number, or `name size-in-bytes`."""
        return self.serial or f"{self.name} {self.size}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run will do. `token` names its directory on the target and marks its pool.

    `disks` are those that it erases; each of them must be named before it begins.
    """

    flow: str
    token: str
    title: str
    steps: tuple[Step, ...]
    disks: tuple[Identity, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def erases(self) -> bool:
        """Whether any step destroys data, so that the disk's identity must be typed."""
        return any(step.danger is Danger.ERASES for step in self.steps)

    def confirmed_by(self, typed: Iterable[str]) -> bool:
        """Whether `typed` are exactly the identities of all disks; a plan that erases has some."""
        if not self.erases:
            return True
        wanted = sorted(disk.typed for disk in self.disks)
        return bool(wanted) and "" not in wanted and sorted(typed) == wanted

    def to_json(self) -> str:
        """Return the plan as indented JSON; `from_json` reads it back unchanged."""
        return json.dumps(_plan_dict(self), indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an answer will not do: the answer's key, what is wrong, and what to do now."""

    key: str
    what: str
    now: str

    def __str__(self) -> str:
        return f"{self.what} {self.now}"


_ACTIONS: dict[str, type[Any]] = {
    "command": Command,
    "dialogue": Dialogue,
    "upload": Upload,
    "transfer": Transfer,
    "leave": Leave,
    "feed": Feed,
    "edit": Edit,
    "mend": Mend,
    "fetch": Fetch,
    "send": Send,
    "local": Local,
}


def action_kind(action: Action) -> str:
    """Return the action's name as it stands in JSON."""
    match action:
        case Command():
            return "command"
        case Dialogue():
            return "dialogue"
        case Upload():
            return "upload"
        case Transfer():
            return "transfer"
        case Leave():
            return "leave"
        case Feed():
            return "feed"
        case Edit():
            return "edit"
        case Mend():
            return "mend"
        case Fetch():
            return "fetch"
        case Send():
            return "send"
        case Local():
            return "local"
        case _:
            assert_never(action)


def typed_text(action: Action) -> str:
    """Return what is typed on the target for `action`, for people to read."""
    match action:
        case Command(text=text) | Dialogue(text=text) | Transfer(text=text) | Leave(text=text):
            return text
        case Upload(path=path, mode=mode, content=content, secret=secret):
            what = f"<secret:{secret}>" if secret else f"{len((content or '').encode())} bytes"
            return f"write {path} (mode {mode:04o}): {what}"
        case Feed(text=text, secret=secret):
            return fed(text, f"<secret:{secret}>")
        case Edit():
            return difference(action)
        case Mend(before=before, after=after, root=root, policy=policy, renew=renew):
            what = {
                "ask": "each difference is shown, and asked about before it is written",
                "write": "each difference is shown, and written",
                "leave": "each difference is shown, and nothing is written",
            }[policy]
            aside = f"# put {root}/etc/hostid and machine-id aside\n" * renew
            read = f"# read {root}/etc/fstab, rc.conf, ttys and boot/loader.conf: {what}\n"
            return f"{before}\n{read}{aside}{after}"
        case Fetch(path=path, name=name):
            return f"copy {path} to this machine, as {name} (mode 0600)"
        case Send(name=name, path=path, mode=mode):
            return f"copy {name}, beside the keys on this machine, to {path} (mode {mode:04o})"
        case Local(text=text):
            return f"on this machine: {text}"
        case _:
            assert_never(action)


def fed(text: str, source: str) -> str:
    """Return sh `text` with `source` as the standard input of all of it, for people to read."""
    if "\n" in text:
        return f"(\n{text}\n) < {source}"
    return f"{{ {text}; }} < {source}" if re.search(r"[;&|]", text) else f"{text} < {source}"


def difference(edit: Edit, context: int = 2) -> str:
    """Return what `edit` changes as a unified diff, with its mode and where the old text stays.

    `context` is how many lines beside a change are shown.
    """
    old = edit.was.splitlines() if edit.was is not None else []
    new = edit.content.splitlines()
    before = edit.path if edit.was is not None else "/dev/null"
    rows = list(difflib.unified_diff(old, new, before, edit.path, lineterm="", n=context))
    if edit.was is not None and not rows:
        return f"{edit.path} stays as it is"
    kept = f", the old one is kept as {edit.backup}" if edit.was is not None else ""
    mode = "" if edit.mode is None else f" (mode {edit.mode:04o})"
    return "\n".join([f"write {edit.path}{mode}{kept}", *rows])


def _plan_dict(plan: Plan) -> dict[str, Any]:
    data = asdict(plan)
    for step, row in zip(plan.steps, data["steps"], strict=True):
        row["action"]["kind"] = action_kind(step.action)
    return {"format": "zrwizard-plan-1", **data}


def from_json(text: str) -> Plan:
    """Return the plan that `Plan.to_json` wrote. Raises ValueError on anything else."""
    try:
        data = json.loads(text)
        if data.pop("format") != "zrwizard-plan-1":
            raise ValueError("not a zrwizard plan of this version")
        steps = tuple(_step(row) for row in data.pop("steps"))
        # Before a plan could have several disks it had one, or null.
        old = data.pop("disk", None)
        disks = data.pop("disks", [old] if old else [])
        return Plan(
            steps=steps,
            disks=tuple(Identity(**disk) for disk in disks),
            notes=tuple(data.pop("notes")),
            **data,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a zrwizard plan: {error}") from None


def _step(row: dict[str, Any]) -> Step:
    action = dict(row.pop("action"))
    kind = _ACTIONS[action.pop("kind")]
    if kind is Dialogue:
        action["answers"] = tuple(Answer(**answer) for answer in action["answers"])
    if kind is Local:
        action["detail"] = tuple(action["detail"])
    if kind is Mend:
        for name in ("nics", "others", "swap", "esp"):
            action[name] = tuple(action[name])
        action["console"] = tuple((name, value) for name, value in action.get("console", ()))
    if kind is Transfer:
        action["shares"] = tuple(Share(**share) for share in action.get("shares", ()))
    return Step(
        phase=Phase(row.pop("phase")),
        danger=Danger(row.pop("danger")),
        action=kind(**action),
        **row,
    )

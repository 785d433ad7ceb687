"""The same flows on simulated machines: started here, reached like real ones, judged after."""

from __future__ import annotations

import argparse
import atexit
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from zrwizard import cli, rehearse_server
from zrwizard.arguments import parser
from zrwizard.flows.moves import Answers
from zrwizard.headless import Headless, Printer
from zrwizard.keyring.operator import Cost
from zrwizard.rehearsal import Rehearsal, RehearsalUnavailable
from zrwizard.rehearsal.previewhost import NEWER, OLDER, TREE
from zrwizard.run.events import Event, Exit, Note, RunFinished
from zrwizard.run.operator import Operator
from zrwizard.secrets import Secret, Secrets

SCHEME = "rehearsal://"
HEADLESS_SPEED = 60.0
SCREEN_SPEED = 20.0
_POLL = 0.25
_NOISE = 0.01
_running: dict[str, Rehearsal] = {}


def resolve(url: str, *, seed: int = 1, speed: float = SCREEN_SPEED) -> str:
    """Return the URL where the console at `url` really is.

    `rehearsal://NAME` starts the machines of that scenario, once in a process, and they run until
    the process ends; any other URL is returned as it is. Raises ValueError for an unknown name
    and `RehearsalUnavailable`.
    """
    if not url.startswith(SCHEME):
        return url
    return machines(url.removeprefix(SCHEME), seed=seed, speed=speed).url


def machines(name: str, *, seed: int = 1, speed: float = SCREEN_SPEED) -> Rehearsal:
    """Return the running machines of the scenario `name`, started where they do not run yet."""
    name = name or "restore"
    if name not in _running:
        made = Rehearsal(speed=speed, seed=seed, noise=_NOISE, scenario=name)
        made.__enter__()
        atexit.register(made.close)
        _running[name] = made
    return _running[name]


def words(made: Rehearsal) -> tuple[tuple[str, str], ...]:
    """Return what an operator of the rehearsal must know: (what, value) pairs."""
    if made.scenario.box:
        return rehearse_server.words(made)
    told = answers(made)
    return (
        ("backup server", told["server.host"]),
        ("its ssh port", told["server.port"]),
        ("password there", made.scenario.password),
        ("its host key", told["server.host_key"]),
        *_disk_words(made),
        *_passphrase_words(made),
    )


def serials(made: Rehearsal) -> tuple[str, ...]:
    """Return the serial numbers of the disks that the rehearsal is to erase."""
    return (made.scenario.disk_serial, *(serial for _, serial in made.scenario.more_disks))


def _disk_words(made: Rehearsal) -> tuple[tuple[str, str], ...]:
    listed = ", ".join(serials(made))
    if not made.scenario.layout:
        return (("disk to erase", listed),)
    return (("disks to erase", listed), ("layout", made.scenario.layout))


def _passphrase_words(made: Rehearsal) -> tuple[tuple[str, str], ...]:
    phrase = made.scenario.disk_passphrase
    return (("encrypt with geli, passphrase", phrase),) if phrase else ()


def _disk_answers(made: Rehearsal) -> dict[str, str]:
    every = serials(made)
    if not made.scenario.layout:
        return {"target.disk": every[0]}
    count = len(every) - made.scenario.spares
    return {
        "target.disks": ", ".join(every[:count]),
        "target.layout": made.scenario.layout,
        "target.spares": ", ".join(every[count:]) or "none",
    }


def answers(made: Rehearsal) -> Answers:
    """Return the answers with which the rehearsed restore or set-up goes through."""
    if made.scenario.box:
        return rehearse_server.answers(made)
    return Answers(
        {
            "network.mode": "dhcp",
            "server.host": made.door.addresses[0],
            "server.port": str(made.scenario.server_port),
            "server.user": "root",
            "server.host_key": made.old_fingerprint,
            "server.auth": "password",
            "source.dataset": "hostA",
            "source.snapshot": "newest",
            "source.release": "14",
            **_disk_answers(made),
            "target.swap": "2g",
            "target.pool": "zroot",
            "target.geli": "yes" if made.scenario.disk_passphrase else "no",
            **({"target.mend": "write"} if made.scenario.moved else {}),
            "finish.action": "reboot",
        }
    )


@dataclass(slots=True)
class _Judge:
    """Passes events on, but holds the last one back until the simulated disk was looked at."""

    printer: Printer
    last: RunFinished | None = None

    def show(self, event: Event) -> None:
        """Print `event`, the end apart."""
        if isinstance(event, RunFinished):
            self.last = event
        else:
            self.printer.show(event)


def run(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int:
    """Do what `zrwizard rehearse` asks for; return the exit code."""
    url = f"{SCHEME}{args.flow}"
    # Before a dash stands the flow, behind it which rehearsal of it.
    flow = cli.flow_named(args.flow.partition("-")[0])
    if not (args.headless or args.json) and sys.stdin.isatty() and sys.stdout.isatty():
        from zrwizard import app  # noqa: PLC0415 - Textual is loaded for screens only

        request = cli.Request(
            flow, url, Answers(), secrets, state_dir, fresh=True, style=args.style
        )
        try:
            machines(args.flow, seed=args.seed, speed=args.speed or SCREEN_SPEED)
        except RehearsalUnavailable as error:
            raise cli.UsageError(str(error)) from None
        return app.run(request, secrets=secrets, state_dir=state_dir, style=args.style)
    try:
        made = machines(args.flow, seed=args.seed, speed=args.speed or HEADLESS_SPEED)
    except RehearsalUnavailable as error:
        raise cli.UsageError(str(error)) from None
    if flow.name == "preview":
        return preview(made, secrets, state_dir, json=args.json)
    return rehearse(made, cli.printer(args), secrets, state_dir)


def preview(made: Rehearsal, secrets: Secrets, state_dir: Path, *, json: bool) -> int:
    """Preview the homes of the simulated host; return 1, as there are differences.

    2 and a sentence where anything on it is not as it was before: looking must change nothing.
    """
    from zrwizard.preview import command  # noqa: PLC0415 - pexpect loads slowly
    from zrwizard.preview.printing import say  # noqa: PLC0415

    url = f"{SCHEME}{made.scenario.name}"
    given = ["--console", url, "--tree", f"{TREE}/home", "--from", OLDER, "--to", NEWER]
    form = ["--recursive", "--headless", *(["--json"] if json else [])]
    code = command.run(parser().parse_args(["preview", *given, *form]), secrets, state_dir)
    wrong = made.changed()
    for text in wrong:
        say(text)
    if wrong:
        say("This is a fault of zrwizard: a preview must change nothing. Please report it.")
    return int(Exit.USAGE) if wrong and code < Exit.USAGE else code


def rehearse(
    made: Rehearsal,
    printer: Printer,
    secrets: Secrets,
    state_dir: Path,
    cost: Cost | None = None,
) -> int:
    """Run restore or server on `made` without a person; 0 only if what came of it would do.

    `cost` is how dear a guess at a practice passphrase is, None for that of real keys.
    """
    printer.show(Note(_told(made), "info"))
    give(made, secrets)
    flow = cli.flow_named("server" if made.scenario.box else "restore")
    given = answers(made)
    judge = _Judge(printer)
    front = Headless(flow, given, secrets, serials(made), judge)
    request = cli.Request(
        flow,
        made.url,
        given,
        secrets,
        state_dir / "rehearsals",
        fresh=True,
        operator=operator(made, secrets, state_dir, cost),
    )
    finished = cli.headless(request, front, interval=_POLL)
    verdict = judged(made, finished)
    for text in (*missing(made), *made.accidents):
        printer.show(Note(text, "warning"))
    printer.show(verdict)
    return verdict.exit


def _told(made: Rehearsal) -> str:
    known = ", ".join(f"{what} {value}" for what, value in words(made))
    return f"Rehearsal, nothing is real: {known}."


def give(made: Rehearsal, secrets: Secrets) -> None:
    """Put the secrets of `made`, which are printed with it, among those that are given."""
    if made.scenario.box:
        rehearse_server.give(made, secrets)
        return
    secrets.add(Secret("server", made.scenario.password))
    secrets.add(Secret("console", made.scenario.root_password))
    if made.scenario.disk_passphrase:
        secrets.add(Secret("disk-passphrase", made.scenario.disk_passphrase))


def operator(
    made: Rehearsal, secrets: Secrets, state_dir: Path, cost: Cost | None = None
) -> Operator | None:
    """Return this machine's side of what `made` rehearses, with fresh practice keys; or None."""
    if not made.scenario.box:
        return None
    return rehearse_server.operator(made, rehearse_server.fresh_keys(state_dir), secrets, cost)


def missing(made: Rehearsal) -> tuple[str, ...]:
    """Return what the simulated machine lacks of what the rehearsal is for, in sentences."""
    if not made.scenario.box:
        return tuple(made.would_boot())
    if made.keyring is None:
        return ("No keys were made.",)
    return made.would_serve(made.keyring)


def judged(made: Rehearsal, finished: RunFinished) -> RunFinished:
    """Return how the rehearsal ended: a run that went well may still have made nothing good."""
    if finished.exit != Exit.DONE:
        return finished
    accidents, lacking = made.accidents, missing(made)
    bad, good = (
        ("The simulated machine would be no good backup server", "is a good backup server")
        if made.scenario.box
        else ("The simulated disk would not boot", "boots")
    )
    thing = "machine" if made.scenario.box else "disk"
    if accidents:
        what = f"What must never happen to a real machine did: {' '.join(accidents)}"
    elif lacking:
        what = f"{bad}: {' '.join(lacking)}"
    else:
        return replace(
            finished,
            summary=f"{finished.summary} The simulated {thing} {good}; nothing real was touched.",
        )
    now = "This is a fault of zrwizard: please report it with the report and the journal."
    if not accidents and not made.scenario.box and lacking == tuple(made.foreign_settings()):
        now = "Say yes to the differences that are shown, or mend the settings by hand."
    return replace(finished, exit=int(Exit.FAILED), summary=what, now=now)

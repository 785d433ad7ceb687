"""The command line: what to do, with which front end, and how it ends."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from zrwizard import answers
from zrwizard.arguments import SERVER, parser
from zrwizard.flows.base import Flow
from zrwizard.flows.moves import Answers
from zrwizard.headless import Headless, JsonLines, Lines, Printer
from zrwizard.plan import Plan
from zrwizard.run import crash, state
from zrwizard.run.events import Exit, RunFinished
from zrwizard.run.operator import Operator
from zrwizard.run.outcome import Outcome
from zrwizard.secrets import SecretError, Secrets, read_spec
from zrwizard.shell.api import Shell
from zrwizard.wizard import Wizard

_HOST_KEY = "server.host_key"
REHEARSAL = "rehearsal://"
REHEARSALS = "Rehearsals: rehearsal://restore, rehearsal://server."


@dataclass(frozen=True, slots=True)
class Request:
    """What a front end gets: a flow on a console, and everything that was given beforehand.

    `keys` is where the directories of keys are, None for the usual place. `operator` is this
    machine's side of a headless flow that has one; it is closed in the end.
    """

    flow: Flow
    console: str
    answers: Answers
    secrets: Secrets
    state_dir: Path
    fresh: bool = False
    style: str = "auto"
    keys: Path | None = None
    operator: Operator | None = None


class Stopped(Exception):
    """It ends here, before anything was begun; `outcome` says how."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.what)
        self.outcome = outcome


class UsageError(Exception):
    """The command line will not do: what is wrong, and what to do now."""

    def __init__(self, what: str, now: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.now = now


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (the process's own by default); return the exit code."""
    args = parser(sys.argv[1:] if argv is None else argv).parse_args(argv)
    secrets = Secrets()
    state_dir = state.default_state_dir()
    try:
        return _command(args, secrets, state_dir)
    except UsageError as error:
        return _early(args, Outcome(Exit.USAGE, error.what, error.now))
    except Stopped as stopped:
        return _early(args, stopped.outcome)
    except KeyboardInterrupt:
        return _early(args, Outcome(Exit.INTERRUPTED, "Stopped by the operator."))
    except Exception as error:
        return _early(args, crash.outcome(error, state_dir, secrets))


def _command(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int:
    match args.command:
        case "answers":
            sys.stdout.write(answers.template(flow_named(args.flow)))
            return Exit.DONE
        case "restore" | "server":
            return _guided(args, secrets, state_dir)
        case "keys":
            from zrwizard.keyring import command as keys  # noqa: PLC0415 - loads slowly

            return keys.run(args, secrets)
        case "preview":
            from zrwizard.preview import command  # noqa: PLC0415 - pexpect loads slowly

            return command.run(args, secrets, state_dir)
        case "rehearse":
            return _rehearse(args, secrets, state_dir)
        case "console":
            return _console(args, secrets, state_dir)
        case _:
            from zrwizard import app  # noqa: PLC0415 - Textual is loaded for screens only

            return app.run(None, secrets=secrets, state_dir=state_dir, style=args.style)


def flow_named(name: str) -> Flow:
    """Return the flow called `name`."""
    from zrwizard.flows.preview import PREVIEW  # noqa: PLC0415 - most commands need no flow
    from zrwizard.flows.restore import RESTORE  # noqa: PLC0415
    from zrwizard.flows.server import SERVER  # noqa: PLC0415

    return {flow.name: flow for flow in (RESTORE, PREVIEW, SERVER)}[name]


def operator_of(flow: str, keys: Path | None, secrets: Secrets) -> Operator | None:
    """Return this machine's side of the flow called `flow`, None where it has none.

    `keys` is where the directories of keys are, None for the usual place.
    """
    if flow != SERVER:
        return None
    from zrwizard.keyring import store  # noqa: PLC0415 - cryptography loads slowly
    from zrwizard.keyring.dial import SshDial  # noqa: PLC0415
    from zrwizard.keyring.operator import OperatorSide  # noqa: PLC0415

    return OperatorSide(keys or store.root(), secrets, lambda ring: SshDial(ring, secrets))


# --- restore, server ------------------------------------------------------------------------------


def _guided(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int:
    """Do a flow that asks, shows its plan, and runs it: with the screens, or headless."""
    flow = flow_named(args.command)
    request = _request(args, flow, secrets, state_dir)
    if args.steal and request.console and not request.console.startswith(REHEARSAL):
        from zrwizard.terminal import command  # noqa: PLC0415 - pexpect loads slowly

        command.free(state.locks_dir(state_dir), request.console)
    if not (args.headless or args.json or args.plan):
        from zrwizard import app  # noqa: PLC0415

        return app.run(request, secrets=secrets, state_dir=state_dir, style=args.style)
    if not request.console:
        raise UsageError(
            "--console is missing: where is the target?",
            "Say, --console telnet://HOST:PORT, or serial:///dev/ttyU0?speed=115200.",
        )
    _check_complete(flow, request.answers, args.answers)
    show_plan = _plan_printer(args.plan) if args.plan else None
    # A plan on stdout stands alone there; everything else is said on stderr.
    front = Headless(
        flow,
        request.answers,
        secrets,
        tuple(args.confirm_erase),
        printer(args, show_plan is not None),
    )
    request = replace(request, operator=_operator(request))
    return headless(request, front, show_plan=show_plan).exit


def _operator(request: Request) -> Operator | None:
    """Return this machine's side of `request`; a rehearsal has keys of its own."""
    if not request.console.startswith(REHEARSAL):
        return operator_of(request.flow.name, request.keys, request.secrets)
    from zrwizard import rehearse  # noqa: PLC0415 - the simulated machines load slowly

    made = rehearse.machines(request.console.removeprefix(REHEARSAL).strip("/"))
    return rehearse.operator(made, request.secrets, request.state_dir)


def _request(args: argparse.Namespace, flow: Flow, secrets: Secrets, state_dir: Path) -> Request:
    try:
        for spec in args.secret:
            secrets.add(read_spec(spec))
        given = answers.read(args.answers, flow) if args.answers else Answers()
    except SecretError as error:
        raise UsageError(
            f"{error}.", "Secrets come from a file, a variable or a descriptor."
        ) from None
    except answers.AnswersError as error:
        raise UsageError(error.what, error.now) from None
    if getattr(args, "host_key", None):
        given = given.put(_HOST_KEY, args.host_key)
    if args.console:
        _check_console(args.console)
    return Request(
        flow,
        args.console,
        given,
        secrets,
        state_dir,
        args.fresh,
        args.style,
        _keys(args),
    )


def _keys(args: argparse.Namespace) -> Path | None:
    """Return where --keys says that the keys are, as a whole path."""
    given: Path | None = getattr(args, "keys", None)
    return given.expanduser().absolute() if given is not None else None


def _check_complete(flow: Flow, given: Answers, path: Path | None) -> None:
    """Raise `UsageError` that names every answer which nothing can stand in for."""
    lacking = answers.missing(flow, given)
    if lacking:
        names = "; ".join(f"{key.name} ({key.help.rstrip('.')})" for key in lacking)
        where = f"Put them into {path}" if path else "Give an answers file: --answers FILE"
        raise UsageError(
            f"Answers are missing: {names}.", f"{where}. Template: zrwizard answers {flow.name}"
        )


def real_console(url: str) -> str:
    """Return where the console at `url` really is: a rehearsal's machines are started."""
    if not url.startswith(REHEARSAL):
        return url
    from zrwizard import rehearse  # noqa: PLC0415 - the simulated machines load slowly
    from zrwizard.rehearsal import RehearsalUnavailable  # noqa: PLC0415

    try:
        return rehearse.resolve(url)
    except RehearsalUnavailable as error:
        raise UsageError(str(error)) from None
    except ValueError as error:
        raise UsageError(f"{error}.", REHEARSALS) from None


def _check_console(url: str) -> None:
    from zrwizard.line import LineError, parse  # noqa: PLC0415

    try:
        if url.startswith(REHEARSAL):
            real_console(url)
            return
        parse(url)
    except LineError as error:
        raise UsageError(error.what, error.now) from None


def headless(
    request: Request,
    front: Headless,
    *,
    show_plan: Callable[[Plan], None] | None = None,
    interval: float = 2.0,
) -> RunFinished:
    """Run `request` without a person; SIGINT and SIGTERM end it in good order."""
    with signals() as cancel:
        return Wizard(
            request.flow,
            opener(request, cancel),
            request.answers,
            request.secrets,
            front,
            request.state_dir,
            cancel,
            console=request.console,
            fresh=request.fresh,
            interactive=False,
            show_plan=show_plan,
            interval=interval,
            operator=request.operator,
        ).run()


def opener(request: Request, cancel: threading.Event) -> Callable[[str], Shell]:
    """Return what opens the request's console for a run's token."""

    def open_for(token: str) -> Shell:
        from zrwizard.shell.connect import open_shell  # noqa: PLC0415 - pexpect loads slowly

        where = state.make_private(state.run_dir(request.state_dir, token))
        return open_shell(
            real_console(request.console),
            token=token,
            secrets=request.secrets,
            cancel=cancel,
            log=where / "console.log",
            memory=request.state_dir / "consoles.json",
            locks=state.locks_dir(request.state_dir),
            purpose=request.flow.name,
        )

    return open_for


@contextmanager
def signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT, SIGTERM and SIGHUP set; a second one ends the process."""
    cancel = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return
    before = {name: signal.signal(name, handle) for name in names}
    try:
        yield cancel
    finally:
        for name, old in before.items():
            signal.signal(name, old)


def _plan_printer(form: str) -> Callable[[Plan], None]:
    def show(plan: Plan) -> None:
        from zrwizard import export  # noqa: PLC0415

        match form:
            case "json":
                text = plan.to_json()
            case "sh":
                text = export.to_sh(plan)
            case _:
                text = export.to_markdown(plan)
        sys.stdout.write(text)
        sys.stdout.flush()

    return show


def printer(args: argparse.Namespace, aside: bool = False) -> Printer:
    """Return what prints the events that `args` ask for; `aside` on stderr."""
    out = sys.stderr if aside else sys.stdout
    if getattr(args, "json", False):
        return JsonLines(out)
    return Lines(out, tty=out.isatty())


def _early(args: argparse.Namespace, outcome: Outcome) -> int:
    """Say how it ended where no run had begun; with --json as the one event that there is."""
    if getattr(args, "json", False):
        finished = RunFinished(int(outcome.exit), outcome.what, outcome.now, "", 0.0)
        printer(args, bool(getattr(args, "plan", None))).show(finished)
    else:
        print(f"zrwizard: {outcome.what} {outcome.now}".rstrip(), file=sys.stderr)
    return outcome.exit


# --- console --------------------------------------------------------------------------------------


def _console(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int:
    from zrwizard.terminal import command  # noqa: PLC0415 - pexpect loads slowly

    ended = command.run(args, secrets, state_dir)
    return _early(args, ended) if isinstance(ended, Outcome) else ended


# --- rehearsal ------------------------------------------------------------------------------------


def _rehearse(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int:
    from zrwizard import rehearse  # noqa: PLC0415 - the simulated machines load slowly

    return rehearse.run(args, secrets, state_dir)

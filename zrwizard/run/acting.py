"""What each kind of action does on the target."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from zrwizard import edits
from zrwizard.cksum import cksum
from zrwizard.console.errors import Refused
from zrwizard.freebsd import sh
from zrwizard.mover import MEANING, Status
from zrwizard.plan import (
    Answer,
    Command,
    Dialogue,
    Edit,
    Feed,
    Fetch,
    Leave,
    Local,
    Mend,
    Phase,
    Problem,
    Send,
    Step,
    Transfer,
    Upload,
    typed_text,
)
from zrwizard.run import local
from zrwizard.run.events import Answered, Exit, Typed
from zrwizard.run.mender import Mender
from zrwizard.run.operator import MissingSecret, Operator, OperatorError
from zrwizard.run.outcome import StepError, code_of_failure, cut, last_lines
from zrwizard.run.sources import Agreement, SecretSource
from zrwizard.run.telling import Teller
from zrwizard.run.translate import translate
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.api import Result, Rule
from zrwizard.transfer import watch

TRIES = 3
"""How often a wrong password may be given before the run stops."""
_WRONG = re.compile(
    r"Permission denied|Login incorrect|bad passphrase|incorrect passphrase|Wrong key", re.I
)
_READ_ONLY = re.compile(r"Read-only file system", re.I)
_PRIVATE = b"PRIVATE KEY-----"
_AGAIN = "What was proven is kept: when that is mended, the same command goes on from there."


class Actor:
    """Does the actions of steps; raises `StepError` and `ConsoleError`."""

    def __init__(
        self,
        teller: Teller,
        secrets: Secrets,
        more_secrets: SecretSource,
        cancel: threading.Event,
        interval: float,
        *,
        operator: Operator | None = None,
        hold: threading.Event | None = None,
        agree: Agreement | None = None,
    ) -> None:
        self._teller = teller
        self._secrets = secrets
        self._more = more_secrets
        self._cancel = cancel
        self._interval = interval
        self._operator = operator
        self._hold = hold
        self._agree: Agreement = agree or (lambda _path, _reasons, _shown: None)

    def act(self, step: Step, begun_before: bool) -> None:
        """Do the action of `step`; return when it has succeeded."""
        match step.action:
            case Command() as command:
                self._command(step, command)
            case Dialogue() as dialogue:
                self._dialogue(step, dialogue)
            case Upload() as upload:
                self._upload(step, upload)
            case Transfer() as transfer:
                self._transfer(step, transfer, begun_before)
            case Leave() as leave:
                self._leave(step, leave)
            case Feed() as feed:
                self._feed(step, feed)
            case Edit() as edit:
                self._edit(step, edit)
            case Mend() as mend:
                Mender(self._teller, step, mend, self._agree, self._cancel).mend()
            case Fetch() as fetch:
                self._fetch(step, fetch)
            case Send() as send:
                self._send(step, send)
            case Local() as act:
                self._local(step, act)
            case _:
                assert_never(step.action)

    def _command(self, step: Step, action: Command) -> None:
        result = self._teller.run(step.id, "act", action.text, action.timeout)
        if result.status != 0:
            raise _failed(step, action.text, result)

    def _dialogue(self, step: Step, action: Dialogue) -> None:
        for attempt in range(1, TRIES + 1):
            rules = tuple(self._rule(answer) for answer in action.answers)
            refusal: Refused | None = None
            try:
                result = self._teller.talk(step.id, "act", action.text, rules, action.timeout)
            except Refused as error:
                shown, refusal = f"{error.what} {error.now}", error
            else:
                if result.status == 0:
                    return
                shown = result.both
                if not (rules and _WRONG.search(shown)):
                    raise _failed(step, action.text, result)
            name = _which(action, shown)
            if name is not None and self._secrets.get(name) is None:
                self._secret(name)
            elif name is None or attempt == TRIES or not self._again(name):
                raise _wrong_secret(step, name, shown, refusal)

    def _rule(self, answer: Answer) -> Rule:
        """Return the rule for a prompt; one without a secret is stopped as soon as it is seen.

        A key may have a passphrase or not: only its prompt tells whether one is needed.
        """
        secret = self._secrets.get(answer.secret)
        if secret is None:
            return Rule(answer.pattern, Secret(answer.secret, b""), 0)
        return Rule(answer.pattern, secret, answer.max_uses)

    def _again(self, name: str) -> bool:
        """Have another try at the secret `name`; False where nobody can give one."""
        problem = Problem(name, "That secret was not accepted.", "Give it again.")
        fresh = self._more(name, problem)
        if fresh is None:
            return False
        self._secrets.add(fresh)
        return True

    def _secret(self, name: str) -> Secret:
        """Return the secret `name`; from here on it is masked wherever something may show it.

        What rests with the keys goes first: an earlier run, of another server or of a rehearsal,
        may have left its own in this process.
        """
        secret = self._kept(name) or self._secrets.get(name) or self._more(name, None)
        if secret is None:
            missing = MissingSecret(name)
            raise StepError(missing.what, missing.now, missing.code)
        self._secrets.add(secret)
        return secret

    def _upload(self, step: Step, action: Upload) -> None:
        self._teller.emit(Typed(step.id, "act", typed_text(action)))
        if action.secret is not None:
            data: bytes | Secret = self._secret(action.secret).as_file()
        else:
            data = (action.content or "").encode()
        self._teller.shell.upload(action.path, data, action.mode)

    # -- what has to do with the operator's own machine -------------------------------------------

    def _feed(self, step: Step, action: Feed) -> None:
        for attempt in range(1, TRIES + 1):
            secret = self._secret(action.secret)
            result = self._teller.feed(step.id, "act", typed_text(action), action, secret)
            if result.status == 0:
                return
            wrong = _WRONG.search(result.both) and self._kept(action.secret) is None
            if attempt == TRIES or not wrong or not self._again(action.secret):
                raise _failed(step, action.text, result)

    def _kept(self, name: str) -> Secret | None:
        """Return a secret that rests with the keys."""
        if self._operator is None:
            return None
        with _told():
            return self._operator.secret(name)

    def _edit(self, step: Step, action: Edit) -> None:
        self._teller.emit(Typed(step.id, "act", typed_text(action)))
        result = self._teller.quietly(step.id, "act", edits.script(action), 120.0)
        if result.status == edits.OTHERWISE:
            raise StepError(
                f"Stopped for safety before “{step.title}”: {last_lines(result.errors)}",
                "Nothing was written. Look at the file; then start again with --fresh, which "
                "surveys the target anew.",
                Exit.REFUSED,
            )
        if result.status != 0 and _READ_ONLY.search(result.both):
            raise StepError(
                f"“{step.title}” failed: {action.path} lies on a read-only file system.",
                "Where that is meant, make it writable for the time being (UFS: mount -uw /; ZFS: "
                f"zfs set readonly=off) and make it read-only again afterwards. {_AGAIN}",
            )
        if result.status != 0:
            raise _failed(step, f"writing {action.path}", result)

    def _fetch(self, step: Step, action: Fetch) -> None:
        operator = self._need_operator(step)
        self._teller.emit(Typed(step.id, "act", typed_text(action)))
        began = time.monotonic()
        with _told(step):
            to = operator.place(action.name)
            self._teller.shell.download(action.path, to)
            data = to.read_bytes()
        said = f"{to} has {len(data)} bytes, cksum {cksum(data)}, as on the target"
        self._teller.emit(Answered(step.id, "act", 0, said, time.monotonic() - began))

    def _send(self, step: Step, action: Send) -> None:
        operator = self._need_operator(step)
        self._teller.emit(Typed(step.id, "act", typed_text(action)))
        began = time.monotonic()
        with _told(step):
            data = operator.place(action.name).read_bytes()
        if _PRIVATE in data:
            raise StepError(
                f"“{step.title}”: {action.name} holds a private key, which is not sent.",
                "This is a fault of the plan: please report it. Nothing was sent.",
                Exit.REFUSED,
            )
        new = edits.beside(action.path)
        self._teller.shell.upload(new, data, action.mode)
        path, wanted = sh.quote(action.path), f"{cksum(data)} {len(data)}"
        moved = f"sync; mv -f {sh.quote(new)} {path} && [ \"$(cksum < {path})\" = '{wanted}' ]"
        result = self._teller.shell.run(moved)
        if result.status != 0:
            raise _failed(step, f"writing {action.path}", result)
        said = f"{action.path} has {len(data)} bytes, cksum {cksum(data)}, as here"
        self._teller.emit(Answered(step.id, "act", 0, said, time.monotonic() - began))

    def _local(self, step: Step, action: Local) -> None:
        operator = self._need_operator(step)
        act = local.Act(operator, action, self._teller, self._cancel)
        asked: dict[str, int] = {}
        with _told(step):
            while True:
                try:
                    act.do(step)
                    return
                except MissingSecret as missing:
                    asked[missing.name] = asked.get(missing.name, 0) + 1
                    enough = asked[missing.name] > TRIES
                    if enough or not self._ask_for(missing.name, wrong=missing.wrong):
                        raise

    def _ask_for(self, name: str, *, wrong: bool) -> bool:
        """Have the secret `name`, or another one where it was wrong; False where nobody can."""
        if wrong:
            return self._again(name)
        fresh = self._more(name, None)
        if fresh is not None:
            self._secrets.add(fresh)
        return fresh is not None

    def _need_operator(self, step: Step) -> Operator:
        if self._operator is None:
            raise StepError(
                f"“{step.title}” is done with the keys on the operator's machine, and none are "
                "known here.",
                "Run the plan with `zrwizard server`.",
                Exit.USAGE,
            )
        return self._operator

    # -- what takes long, and what goes away ------------------------------------------------------

    def _transfer(self, step: Step, action: Transfer, begun_before: bool) -> None:
        watcher = watch.Watcher(
            self._teller.shell,
            step.id,
            action,
            self._teller.emit,
            self._cancel,
            self._interval,
            hold=self._hold,
        )
        try:
            watcher.begin(begun_before)
            status = watcher.wait()
        except watch.TransferLost as lost:
            raise StepError(
                "The transfer is gone from the target: it was killed, or the machine restarted. "
                + last_lines(str(lost) or watcher.log),
                "Start again: it goes on where it was."
                if action.mover
                else "Start again: what it left is cleared, and the transfer begins anew.",
            ) from None
        if status != 0 and action.mover:
            raise _moved(step, status, watcher.log)
        if status != 0:
            raise failure(
                step,
                "ssh zfs send | zfs receive",
                watcher.log,
                f"The transfer ended with status {status}.",
            )

    def _leave(self, step: Step, action: Leave) -> None:
        self._teller.emit(Typed(step.id, "act", action.text))
        secret = self._secret(action.secret) if action.secret else None
        screen = self._teller.shell.leave(
            action.text, until=action.until, timeout=action.timeout, secret=secret
        )
        self._teller.emit(Answered(step.id, "act", 0, cut(screen.rstrip()), 0.0))


@contextmanager
def _told(step: Step | None = None) -> Iterator[None]:
    """Make errors of the operator's side, and of its files, errors of the step."""
    head = f"“{step.title}” failed: " if step is not None else ""
    try:
        yield
    except OperatorError as error:
        raise StepError(head + error.what, error.now, error.code) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StepError(
            f"{head}{where}{error.strerror or error} (on this machine).",
            f"Look at the file and at its directory here. {_AGAIN}",
        ) from None


def failure(step: Step, command: str, output: str, what: str) -> StepError:
    """Return the error of a command of `step` that failed, in known words where there are any."""
    known = translate(command, output)
    code = code_of_failure(step, output)
    said = last_lines(output)
    text = f"{known.what} {what}" if known else what
    if said:
        text += f" It said: {said}"
    return StepError(text, f"{known.now} {_AGAIN}" if known else _now(step), code)


def _moved(step: Step, status: int, log: str) -> StepError:
    """Return the error that the mover's exit status means; its log has the tools' own words."""
    if status not in MEANING:
        return failure(step, "zfs receive", log, f"The transfer ended with status {status}.")
    meaning = MEANING[Status(status)]
    said = last_lines(log)
    what = f"{meaning.what} It said: {said}" if said else meaning.what
    code = Exit.REFUSED if status == Status.HOST_KEY else Exit.FAILED
    return StepError(what, meaning.now, code)


def _failed(step: Step, command: str, result: Result) -> StepError:
    said = last_lines(result.both)
    if step.phase is Phase.PROOF and said:
        # A check says itself what is wrong; in a tool's words it would be about something else.
        return StepError(f"Not proven: {step.title}. {said}", _UNPROVEN)
    what = f"“{step.title}” failed: {_first_line(command)} ended with status {result.status}."
    return failure(step, command, result.both, what)


_UNPROVEN = (
    "Nothing was restarted or handed over. Mend what is named; then start the same command again: "
    "every check is made again."
)


def _now(step: Step) -> str:
    if step.phase is Phase.NETWORK:
        return f"Check the cable, the interface and the addresses. {_AGAIN}"
    return f"Look at what the command said. {_AGAIN}"


def _first_line(command: str, width: int = 160) -> str:
    line = command.strip().split("\n", 1)[0]
    return line if len(line) <= width else line[:width] + "…"


def _which(action: Dialogue, shown: str) -> str | None:
    """Return the name of the secret that was asked for, as far as `shown` tells."""
    for answer in action.answers:
        if f"<secret:{answer.secret}>" in shown or re.search(answer.pattern, shown, re.MULTILINE):
            return answer.secret
    return action.answers[0].secret if action.answers else None


def _wrong_secret(step: Step, name: str | None, shown: str, cause: Refused | None) -> StepError:
    said = last_lines(shown)
    if name is None:
        error = StepError(
            f"“{step.title}” showed a question that nobody expected: {said}",
            "Take over by hand and look, or start again.",
        )
    else:
        error = StepError(
            f"“{step.title}” failed: the secret “{name}” was not accepted. It said: {said}",
            f"Give the right one (--secret {name}=…) and start again; nothing was changed.",
        )
    error.__cause__ = cause
    return error

"""The driver: asks a flow what to do next, and asks, looks, prepares, reviews and runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from zrwizard import facts as known
from zrwizard import survey
from zrwizard.console.errors import Cancelled, ConsoleError
from zrwizard.facts import Facts
from zrwizard.flows.base import Flow
from zrwizard.flows.moves import (
    Answers,
    Ask,
    Look,
    Move,
    Prepare,
    Question,
    Review,
    Stuck,
)
from zrwizard.freebsd import sh, ssh
from zrwizard.front import (
    FAILED_KEY,
    Back,
    Confirmed,
    Front,
    MissingAnswer,
    Stop,
    failed_question,
    mend_question,
    resume_question,
    secret_question,
)
from zrwizard.plan import Plan, Problem
from zrwizard.report import markdown, page
from zrwizard.report.story import tell
from zrwizard.run import crash, journal, state
from zrwizard.run.beside import Beside
from zrwizard.run.events import Event, Exit, Note, RunFinished
from zrwizard.run.executor import Run
from zrwizard.run.journal import MAIN, Journal, Unfinished
from zrwizard.run.operator import Operator, OperatorError
from zrwizard.run.outcome import Outcome, of_console
from zrwizard.run.telling import Teller, redact_event
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.api import Shell

__all__ = ["Back", "Confirmed", "Front", "MissingAnswer", "Stop", "Wizard"]
DISKS = ("target.disk", "target.disks", "target.layout", "target.spares")
"""The answers that three wrong confirmations take back: the disks are asked for again."""
CONFIRMATIONS = 3
OWN = "own"
"""What a flow looks for on the operator's own machine; everything else is on the target."""
GIVEN = "given"
"""Stands among the answers for a secret that was given; its value is with `Secrets` only."""


class Wizard:
    """One flow on one console, from the first question to the report.

    `open_shell` gets the run's token and returns a root shell whose `home` is `/tmp/zr-<token>`.
    `console` is the console's URL, under which unfinished runs are found again; `fresh` starts
    anew although there is one. `interactive` says that the front can mend what went wrong before
    the plan. `show_plan` gets the plan in place of a run. `operator` is this machine's side of a
    flow that has one; it is closed at the end. A transfer pauses while `hold` is set.
    """

    def __init__(  # noqa: PLR0917 (the parts of one wizard)
        self,
        flow: Flow,
        open_shell: Callable[[str], Shell],
        answers: Answers,
        secrets: Secrets,
        front: Front,
        state_dir: Path,
        cancel: threading.Event,
        *,
        console: str = "",
        fresh: bool = False,
        interactive: bool = True,
        show_plan: Callable[[Plan], None] | None = None,
        interval: float = 2.0,
        operator: Operator | None = None,
        hold: threading.Event | None = None,
    ) -> None:
        self._flow = flow
        self._open_shell = open_shell
        self._answers = answers
        self._given = answers
        self._secrets = secrets
        self._front = front
        self._state_dir = state_dir
        self._cancel = cancel
        self._console = console
        self._fresh = fresh
        self._interactive = interactive
        self._show_plan = show_plan
        self._interval = interval
        self._operator = operator
        self._hold = hold
        self._journal: Journal | None = None
        self._shell: Shell | None = None
        self._asked: list[str] = []
        self._began_main = False
        self._prepared = False
        self._last: tuple[Move, Facts] | None = None

    def run(self) -> RunFinished:
        """Go from the first question to the end; return and emit how it ended. Never raises."""
        started = time.monotonic()
        try:
            outcome = self._drive()
        except Stop as stop:
            outcome = Outcome(stop.code, stop.what, stop.now)
        except survey.SurveyError as error:
            outcome = Outcome(Exit(error.exit), error.what, error.now)
        except OperatorError as error:
            outcome = Outcome(error.code, error.what, error.now)
        except ConsoleError as error:
            outcome = of_console(error)
        except KeyboardInterrupt:
            outcome = of_console(Cancelled("Stopped by the operator."))
        except Exception as error:
            outcome = crash.outcome(error, self._state_dir, self._secrets)
        finally:
            self._tidy()
            self._close_shell()
            if self._operator is not None:
                self._operator.close()
        return self._finish(outcome, time.monotonic() - started)

    # -- the two ways in ----------------------------------------------------------------------

    def _drive(self) -> Outcome:
        found = self._unfinished()
        if found is not None and found.plan is not None:
            return self._resume(found, found.plan)
        token = state.new_token()
        self._journal = Journal.create(
            self._state_dir,
            token,
            console=self._console,
            flow=self._flow.name,
            secrets=self._secrets,
        )
        self._open(token)
        return self._converse(known.empty(token))

    def _unfinished(self) -> Unfinished | None:
        """Return the run to go on with: the newest one here that has the same answers."""
        if self._fresh or self._show_plan is not None:
            return None
        found = journal.find_unfinished(self._state_dir, self._console, self._flow.name)
        if found is None:
            return None
        other = [key for key, value in self._given.items() if found.answers.get(key) != value]
        if other:
            self._emit(
                Note(
                    f"An unfinished run on this console had other answers ({', '.join(other)}); "
                    "a new run begins.",
                    "warning",
                )
            )
            return None
        if self._given or not self._interactive:
            return found
        reply = self._front.ask(resume_question(found), None)
        return found if reply == "continue" else None

    def _resume(self, found: Unfinished, plan: Plan) -> Outcome:
        """Run the plans of an unfinished run once more; its steps look at the target first."""
        self._journal = Journal.reopen(self._state_dir, found, self._secrets)
        self._emit(Note(f"An unfinished run was found ({found.token}); it goes on."))
        self._answers = Answers(found.answers)
        confirmed = self._confirm(plan)
        if confirmed is None:
            return Outcome(
                Exit.REFUSED, "The erasure was not confirmed.", "Start again with the identity."
            )
        self._open(found.token)
        for mark, preparation in found.preparations:
            outcome = self._execute(mark, preparation, resumed=True)
            if outcome.exit is not Exit.DONE:
                return outcome
        self._began_main = True
        return self._execute(MAIN, plan, confirmed=confirmed, resumed=True)

    # -- the conversation ---------------------------------------------------------------------

    def _converse(self, facts: Facts) -> Outcome:
        while True:
            self._check_cancel()
            move = self._flow.next_move(facts, self._answers)
            if isinstance(move, Look | Prepare) and (move, facts) == self._last:
                raise Stop(
                    f"The flow wants the same again and again: {move}.",
                    "This is a fault of the wizard; please report it with the run's journal.",
                    Exit.FAILED,
                )
            self._last = (move, facts)
            try:
                step = self._make(move, facts)
            except survey.SurveyError as error:
                if not self._interactive:
                    raise
                step = self._mend(Outcome(Exit(error.exit), error.what, error.now), facts)
            except OperatorError as error:
                if not self._interactive:
                    raise
                step = self._mend(Outcome(error.code, error.what, error.now), facts)
            if isinstance(step, Outcome):
                return step
            facts = step

    def _make(self, move: Move, facts: Facts) -> Facts | Outcome:
        """Do one move; return the facts after it, or how everything ends."""
        match move:
            case Ask(question=question, problem=problem):
                self._ask(question, problem)
                return facts
            case Look():
                self._emit(Note(move.text))
                if move.what == OWN and self._operator is not None:
                    return self._operator.look(facts, move.detail[0])
                return survey.look(self._need_shell(), facts, move, self._emit)
            case Prepare(plan=plan, mark=mark):
                self._prepared = True
                outcome = self._execute(mark, plan)
                if outcome.exit is Exit.DONE:
                    return replace(facts, prepared=facts.prepared | {mark})
                return self._mend(outcome, facts)
            case Review(plan=plan):
                return self._review(plan) or facts
            case Stuck(problems=problems, exit=code):
                what = " ".join(problem.what for problem in problems)
                now = " ".join(problem.now for problem in problems)
                return self._mend(Outcome(Exit(code), what, now), facts)
            case _:
                assert_never(move)

    def _ask(self, question: Question, problem: Problem | None) -> None:
        reply = self._front.ask(question, problem)
        if isinstance(reply, Back):
            follow_up = problem is None and question.key in self._answers
            self._go_back(question.key, only=follow_up)
            return
        if isinstance(reply, Secret):
            self._secrets.add(reply)
            reply = GIVEN
        self._answers = self._answers.put(question.key, reply)
        if question.key in self._asked:
            self._asked.remove(question.key)
        self._asked.append(question.key)

    def _go_back(self, key: str = "", *, only: bool = False) -> None:
        """Forget the answer to `key`, and unless `only` to the question asked before it."""
        self._answers = self._answers.drop(key)
        while self._asked and self._asked[-1] == key:
            self._asked.pop()
        if self._asked and not only:
            self._answers = self._answers.drop(self._asked.pop())

    def _mend(self, outcome: Outcome, facts: Facts) -> Facts | Outcome:
        """Let an operator who is there change an answer or try again; else it is the end."""
        if not self._interactive or outcome.exit is Exit.INTERRUPTED:
            return outcome
        problem = Problem(FAILED_KEY, outcome.what, outcome.now)
        reply = self._front.ask(failed_question(bool(self._asked)), problem)
        if reply == "stop":
            return outcome
        if reply != "again":
            self._go_back()
        self._last = None
        # What was surveyed may be what has been mended since.
        return replace(known.empty(facts.token), prepared=facts.prepared)

    def _review(self, plan: Plan) -> Outcome | None:
        if self._show_plan is not None:
            self._show_plan(plan)
            return Outcome(Exit.DONE, "The plan was shown; nothing was erased.")
        confirmed = self._confirm(plan)
        if confirmed is None:
            return None
        assert self._journal is not None  # noqa: S101 - for the type checker
        self._journal.answers(self._answers)
        self._began_main = True
        return self._execute(MAIN, plan, confirmed=confirmed)

    def _confirm(self, plan: Plan) -> tuple[str, ...] | None:
        """Return what confirms `plan`; None where the operator went back or was wrong thrice."""
        for left in range(CONFIRMATIONS - 1, -1, -1):
            reply = self._front.review(plan)
            if isinstance(reply, Back):
                self._go_back()
                return None
            if plan.confirmed_by(reply.typed):
                return reply.typed
            self._emit(
                Note(
                    (
                        "These are not the disks' identities. "
                        if len(plan.disks) > 1
                        else "That is not the disk's identity. "
                    )
                    + (f"{left} more tries." if left else "The disk is asked for again."),
                    "warning",
                )
            )
        self._answers = self._answers.drop(*DISKS)
        return None

    # -- running --------------------------------------------------------------------------------

    def _execute(
        self, part: str, plan: Plan, *, confirmed: tuple[str, ...] = (), resumed: bool = False
    ) -> Outcome:
        assert self._journal is not None  # noqa: S101 - for the type checker
        if not resumed:
            self._journal.plan(part, plan)
        return Run(
            plan,
            self._need_shell(),
            self._journal.part(part),
            self._secrets,
            self._emit,
            self._cancel,
            confirmed,
            more_secrets=self._more_secrets,
            operator=self._operator or Beside(self._journal.directory),
            resumed=resumed,
            interval=self._interval,
            hold=self._hold,
            agree=self._agreed,
        ).execute()

    def _more_secrets(self, name: str, problem: Problem | None) -> Secret | None:
        """Ask for a secret in the middle of a run; None where nobody is there."""
        if not self._interactive:
            return None
        reply = self._front.ask(secret_question(name), problem)
        if isinstance(reply, Back):
            return None
        return reply if isinstance(reply, Secret) else Secret(name, reply)

    def _agreed(self, path: str, reasons: str, shown: str) -> bool | None:
        """Ask for the operator's word in the middle of a run; None where nobody is there."""
        if not self._interactive:
            return None
        return not isinstance(self._front.ask(mend_question(path, reasons, shown), None), Back)

    def _open(self, token: str) -> None:
        self._shell = self._open_shell(token)
        self._shell.on_cut = lambda text: self._emit(Note(text, "warning"))

    def _need_shell(self) -> Shell:
        assert self._shell is not None  # noqa: S101 - opened before the first move
        return self._shell

    def _check_cancel(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("Stopped by the operator.", "Start again when you like.")

    def _emit(self, event: Event) -> None:
        safe = redact_event(event, self._secrets)
        if self._journal is not None:
            self._journal.event(safe)
        self._front.emit(safe)

    # -- the end ----------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Leave no login and no key on a target where no plan was begun: nobody comes back."""
        if self._shell is None or self._began_main or not self._prepared:
            return
        session = ssh.Session(ssh.ALIAS, 22, "root", self._shell.home)
        files = (session.identity_path, session.known_hosts_path, session.config_path)
        text = f"{ssh.logout(session)} 2>/dev/null; rm -f {' '.join(map(sh.quote, files))}"
        try:
            Teller(self._shell, self._emit).run("tidy", "act", text, 30.0)
        except ConsoleError as error:
            self._emit(Note(f"The target could not be tidied up: {error.what}", "warning"))

    def _close_shell(self) -> None:
        if self._shell is not None:
            self._shell.close()

    def _finish(self, outcome: Outcome, seconds: float) -> RunFinished:
        """Write the report, close the journal, and tell how it ended; never raises."""
        redact = self._secrets.redact_text
        finished = RunFinished(
            int(outcome.exit), redact(outcome.what), redact(outcome.now), "", seconds
        )
        if self._journal is not None:
            try:
                if self._began_main:
                    path = self._journal.directory / "report.md"
                    html = path.with_suffix(".html")
                    finished = replace(finished, report=str(path), page=str(html))
                self._journal.event(finished)
                self._journal.end(outcome.exit)
                if self._began_main:
                    story = tell(journal.read(self._journal.path))
                    state.write_private(path, redact(markdown.render(story)))
                    # The journal is masked already; in a page a mask would fall into its tags.
                    state.write_private(html, page.render(story))
            except OSError as error:
                finished = replace(
                    finished,
                    report="",
                    page="",
                    now=f"{finished.now} The journal could not be written: {error}.".strip(),
                )
            finally:
                self._journal.close()
        self._front.emit(finished)
        return finished

"""The execution of one plan: look, guard, act, prove; the journal before and after."""

from __future__ import annotations

import threading
import time
from typing import assert_never

from zrwizard.console.errors import Cancelled, ConsoleError
from zrwizard.plan import Danger, Leave, Phase, Plan, Step
from zrwizard.run import acting
from zrwizard.run.events import Exit, Note, RunStarted, StepDone, StepFailed, StepStarted
from zrwizard.run.journal import Ledger
from zrwizard.run.operator import Operator
from zrwizard.run.outcome import Outcome, StepError, last_lines, of_console
from zrwizard.run.sources import Agreement, SecretSource
from zrwizard.run.telling import Emit, Teller, redact_event
from zrwizard.secrets import Secrets
from zrwizard.shell.api import Shell

_QUESTION_TIMEOUT = 60.0


class Run:
    """One run of `plan` on `shell`.

    `journal` is the plan's part of the run's journal. `confirmed` are the
    disks' identities that the operator typed: see `Plan.confirmed_by`.
    `more_secrets` is asked for secrets that `secrets` does not hold. `operator` does what is to be
    done on the operator's own machine, where the plan has such steps. `interval` is the time in
    seconds between two looks at a transfer, which pauses while `hold` is set. `agree` asks for the
    operator's word in the middle of a run.
    """

    def __init__(  # noqa: PLR0917 (the parts of one run)
        self,
        plan: Plan,
        shell: Shell,
        journal: Ledger,
        secrets: Secrets,
        emit: Emit,
        cancel: threading.Event,
        confirmed: tuple[str, ...] = (),
        *,
        more_secrets: SecretSource | None = None,
        operator: Operator | None = None,
        resumed: bool = False,
        interval: float = 2.0,
        hold: threading.Event | None = None,
        agree: Agreement | None = None,
    ) -> None:
        self._plan = plan
        self._shell = shell
        self._journal = journal
        self._secrets = secrets
        self._cancel = cancel
        self._confirmed = confirmed
        self._resumed = resumed
        self._emit: Emit = lambda event: emit(redact_event(event, secrets))
        self._teller = Teller(shell, self._emit)
        self._actor = acting.Actor(
            self._teller,
            secrets,
            more_secrets or (lambda _name, _problem: None),
            cancel,
            interval,
            operator=operator,
            hold=hold,
            agree=agree,
        )
        self._closing = False

    def execute(self) -> Outcome:
        """Run every step; return how it ended. Console errors become outcomes, not exceptions."""
        plan = self._plan
        refusal = self._unconfirmed()
        if refusal:
            return refusal
        total = len(plan.steps)
        self._emit(RunStarted(plan.title, total, self._resumed))
        self._closing = any(
            step.phase is Phase.FINISH and self._journal.was_begun(step.id) for step in plan.steps
        )
        for index, step in enumerate(plan.steps, 1):
            if self._cancel.is_set():
                return of_console(Cancelled("Stopped by the operator."))
            self._emit(
                StepStarted(step.id, step.phase, step.title, step.why, step.danger, index, total)
            )
            ended = self._guarded(step)
            if ended is not None:
                return ended
        return Outcome(Exit.DONE, f"{plan.title}: done.")

    def _unconfirmed(self) -> Outcome | None:
        plan = self._plan
        if plan.confirmed_by(self._confirmed):
            return None
        typed = [disk.typed for disk in plan.disks] or ["a disk that the plan does not name"]
        return Outcome(
            Exit.REFUSED,
            f"This plan erases {' and '.join(typed)}, and that was not confirmed. "
            "Nothing was typed.",
            "Confirm with exactly that identity: "
            + " ".join(f"--confirm-erase {one!r}" for one in typed)
            + ".",
        )

    def _guarded(self, step: Step) -> Outcome | None:
        """Run one step; return an outcome only where the run ends with it."""
        started = time.monotonic()
        try:
            skipped = self._step(step)
        except StepError as error:
            self._fail(step, error.what, error.now)
            return Outcome(error.code, error.what, error.now, step.id)
        except ConsoleError as error:
            outcome = of_console(error)
            self._fail(step, outcome.what, outcome.now)
            return Outcome(outcome.exit, outcome.what, outcome.now, step.id)
        self._journal.done(step.id, skipped=skipped)
        self._emit(StepDone(step.id, time.monotonic() - started, skipped))
        return None

    def _fail(self, step: Step, what: str, now: str) -> None:
        safe = self._secrets.redact_text
        self._journal.failed(step.id, safe(what))
        self._emit(StepFailed(step.id, what, now))

    def _step(self, step: Step) -> bool:
        """Look, guard, act, prove. Returns whether it was found done already."""
        if self._finished_before(step):
            return True
        self._guard(step)
        self._act(step)
        self._prove(step)
        return False

    def _finished_before(self, step: Step) -> bool:
        begun = self._journal.was_begun(step.id)
        # What comes before the finish is proven when that begins, and an exported pool shows
        # nothing of it any more.
        if self._closing and step.phase is not Phase.FINISH:
            return True
        if isinstance(step.action, Leave) and begun:
            self._emit(
                Note(
                    f"“{step.action.text}” had been sent before the wizard was stopped; it is not "
                    "sent again. If the console still shows the live system, type it yourself.",
                    "warning",
                )
            )
            return True
        match step.danger:
            case Danger.NONE | Danger.CHANGES:
                return step.look is not None and self._asks(step, "look", step.look)
            case Danger.ERASES:
                if not begun:
                    return False
                known = step.look or (step.proof if self._journal.was_done(step.id) else None)
                if known is not None:
                    return self._asks(step, "look", known)
                # Finished by this run and nothing to look at: an erasure is never done twice.
                return self._journal.was_done(step.id)
            case _:
                assert_never(step.danger)

    def _asks(self, step: Step, role: str, text: str) -> bool:
        timeout = max(_QUESTION_TIMEOUT, step.proof_timeout)
        return self._teller.run(step.id, role, text, timeout).status == 0

    def _guard(self, step: Step) -> None:
        if step.guard is None:
            return
        result = self._teller.run(step.id, "guard", step.guard, _QUESTION_TIMEOUT)
        if result.status != 0:
            seen = last_lines(result.both)
            raise StepError(
                f"Stopped for safety before “{step.title}”: the target is not as it was when the "
                "plan was made." + (f" The check said: {seen}" if seen else ""),
                "Nothing was typed after the check. Look at the disk; then start again with "
                "--fresh, which surveys the target anew.",
                Exit.REFUSED,
            )

    def _act(self, step: Step) -> None:
        if step.danger is Danger.ERASES and self._unconfirmed() is not None:
            raise StepError("An erasing step without confirmation.", "", Exit.REFUSED)
        before = self._journal.was_begun(step.id)
        self._journal.begun(step.id)
        self._actor.act(step, before)

    def _prove(self, step: Step) -> None:
        if step.proof is None or isinstance(step.action, Leave):
            return
        result = self._teller.run(step.id, "proof", step.proof, step.proof_timeout)
        if result.status != 0:
            raise acting.failure(
                step,
                step.proof,
                result.both,
                f"“{step.title}” ran, but its proof failed with status {result.status}.",
            )

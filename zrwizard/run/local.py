"""An act on the operator's own machine: in a thread of its own, so that a cancel is heard."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue

from zrwizard.console.errors import Cancelled
from zrwizard.plan import Local, Step, typed_text
from zrwizard.run.events import Answered, Typed
from zrwizard.run.operator import Operator
from zrwizard.run.outcome import StepError
from zrwizard.run.telling import Teller

_POLL = 0.1
_LEAVE = 3.0
"""Seconds that an act has to end once what it speaks with was closed."""


class Act:
    """One `Local` of a step; `do` may be called again once a secret that was missing is there."""

    def __init__(
        self, operator: Operator, action: Local, teller: Teller, cancel: threading.Event
    ) -> None:
        self._operator = operator
        self._action = action
        self._teller = teller
        self._cancel = cancel

    def do(self, step: Step) -> None:
        """Do it, and tell what it says. Raises `OperatorError`, `StepError` and `Cancelled`.

        An act cannot be interrupted: on a cancel, and after its time, the operator's side is
        closed, which ends what it waits for, and it is left alone.
        """
        self._teller.emit(Typed(step.id, "act", typed_text(self._action)))
        began = time.monotonic()
        said: SimpleQueue[str] = SimpleQueue()
        ended: SimpleQueue[str | BaseException] = SimpleQueue()
        worker = threading.Thread(
            target=self._work, args=(said, ended), name=f"act-{self._action.act}", daemon=True
        )
        worker.start()
        while worker.is_alive():
            worker.join(_POLL)
            self._tell(step, said, began)
            if self._cancel.is_set():
                self._abandon(worker)
                raise Cancelled("Stopped by the operator.", "Start zrwizard again to go on.")
            if time.monotonic() - began > self._action.timeout:
                self._abandon(worker)
                raise StepError(
                    f"“{step.title}” did not end within {self._action.timeout:.0f} s.",
                    "Look at what it said last, and at the network. Start again: it goes on there.",
                )
        self._tell(step, said, began)
        result = ended.get_nowait()
        if isinstance(result, BaseException):
            raise result
        self._teller.emit(Answered(step.id, "act", 0, result, time.monotonic() - began))

    def _work(self, said: SimpleQueue[str], ended: SimpleQueue[str | BaseException]) -> None:
        try:
            ended.put(self._operator.do(self._action, said.put))
        except BaseException as error:
            ended.put(error)

    def _tell(self, step: Step, said: SimpleQueue[str], began: float) -> None:
        while True:
            try:
                text = said.get_nowait()
            except Empty:
                return
            self._teller.emit(Answered(step.id, "act", 0, text, time.monotonic() - began))

    def _abandon(self, worker: threading.Thread) -> None:
        self._operator.close()
        worker.join(_LEAVE)

"""A `Shell` on the simulated box without its console: the same virtual shell, by the back door."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zrwizard import rehearse_server
from zrwizard.flows.moves import Answers
from zrwizard.flows.server import SERVER
from zrwizard.headless import Headless
from zrwizard.keyring import holding, trial_streams
from zrwizard.keyring.operator import Cost
from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.daemonfiles import place, write
from zrwizard.rehearsal.process import helpers, new_session
from zrwizard.run.events import Event, RunFinished
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.api import Job, Result, Rule, unheard
from zrwizard.wizard import Wizard

PATIENCE = 60.0


class BackShell:
    """Runs every command in a shell of its own, with the wizard's umask."""

    def __init__(self, made: Rehearsal, token: str) -> None:
        self.made = made
        self.home = f"/tmp/zr-{token}"
        self.on_cut = unheard
        self.typed: list[str] = []
        self._do(f"mkdir -m 700 {self.home}")

    def _do(self, text: str, stdin: bytes | None = None) -> Result:
        loop = self.made._loop
        assert loop is not None
        began = time.monotonic()
        work = asyncio.run_coroutine_threadsafe(self._run(text, stdin), loop)
        status, out, err = work.result(PATIENCE)
        return Result(status, out, err, time.monotonic() - began)

    async def _run(self, text: str, stdin: bytes | None) -> tuple[int, bytes, bytes]:
        machine = self.made.target
        session = new_session(machine, "sh")
        session.umask = 0o077
        out, err = bytearray(), bytearray()

        async def keep_out(data: bytes) -> None:
            out.extend(data)

        async def keep_err(data: bytes) -> None:
            err.extend(data)

        async def feed(io: Any) -> int:
            await io.stdout.write(stdin or b"")
            return 0

        session.bash.add_command("__fed", feed)
        await session.run(helpers(machine), keep_err)
        source = "__fed | (" if stdin is not None else "(\n"
        end = ")" if stdin is not None else ") </dev/null"
        status, complaint = await session.run(f"{source}{text}\n{end}", keep_out, keep_err)
        session.ended = True
        machine.processes.pop(session.process.pid, None)
        return status, bytes(out), bytes(err) + complaint.encode()

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        self.typed.append(text)
        return self._do(text)

    def feed(self, text: str, secret: Secret, *, timeout: float = 120.0) -> Result:
        self.typed.append(text)
        return self._do(text, secret.reveal())

    def talk(self, text: str, rules: tuple[Rule, ...] = (), *, timeout: float = 120.0) -> Result:
        raise AssertionError(f"nobody types here: {text} {rules}")

    def upload(self, path: str, data: bytes | Secret, mode: int = 0o600) -> None:
        raw = data.reveal() if isinstance(data, Secret) else data

        def put() -> None:
            machine = self.made.target
            write(machine, path, raw)
            found = place(machine, path)
            if found is not None:
                found.tree.change(found.rel, mode=mode)

        self.made.inside(put)

    def download(self, path: str, to: Path) -> None:
        result = self._do(f"cat {path}")
        assert result.status == 0, result
        to.write_bytes(result.out)
        to.chmod(0o600)

    def start_job(self, name: str, script: str) -> None:
        raise AssertionError(f"no job is started here: {name} {script}")

    def job(self, name: str) -> Job:
        raise AssertionError(f"there is no job {name}")

    def stop_job(self, name: str) -> None:
        raise AssertionError(f"there is no job {name}")

    def leave(
        self, text: str, *, until: str, timeout: float, secret: Secret | None = None
    ) -> str:
        raise AssertionError(f"nobody leaves: {text} {until}")

    def close(self) -> None:
        self._do(f"rm -rf {self.home}")


class Heard:
    """Keeps what a run has told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def show(self, event: Event) -> None:
        self.events.append(event)

    @property
    def text(self) -> str:
        return "\n".join(map(repr, self.events))


def hurried(patch: pytest.MonkeyPatch) -> None:
    """The trials' pauses between two looks and two pieces are short: this machine is quick."""
    quick = SimpleNamespace(
        monotonic=time.monotonic, time=time.time, sleep=lambda seconds: time.sleep(seconds / 50)
    )
    for module in (trial_streams, holding):
        patch.setattr(module, "time", quick)


CHEAP = Cost(4, 12, 1000)
"""Guesses at the passphrases of a test's keys need not be dear."""


def set_up(made: Rehearsal, state: Path, **answers: str) -> tuple[RunFinished, Heard]:
    """Run the flow `server` on the box by the back door, with practice keys below `state`."""
    secrets = Secrets()
    rehearse_server.give(made, secrets)
    keys = state / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    given: Answers = rehearse_server.answers(made)
    for key, value in answers.items():
        given = given.put(key.replace("__", "."), value)
    heard = Heard()
    finished = Wizard(
        SERVER,
        lambda token: BackShell(made, token),
        given,
        secrets,
        Headless(SERVER, given, secrets, (made.scenario.disk_serial,), heard),
        state,
        threading.Event(),
        console=f"{made.url}/{len(list(state.iterdir()))}",
        fresh=True,
        interactive=False,
        interval=0.01,
        operator=rehearse_server.operator(made, keys, secrets, CHEAP),
    ).run()
    return finished, heard

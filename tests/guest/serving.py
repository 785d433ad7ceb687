"""Somebody who sets up the box with `zrwizard server`, in directories of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .knox import ESCROW_PASSPHRASE, NAME, PASSPHRASE, POOL, SERIAL, Knox

Event = dict[str, object]
ANSWERS = """
[server]
name = "{name}"
shape = "{shape}"
scope = "all"
host = "127.0.0.1"
port = {port}
{trial}
[target]
disk = "{serial}"
[disk]
{whole}
pool = "{pool}"
[keys]
{delivery}
host_days = 30
login_days = 30
single_days = 30
[receive]
force = "no"
[system]
files = "all"
root = "noatime"
swap = "encrypt"
[reach]
how = "lan"
[source]
dataset = "none"
"""


@dataclass
class Serving:
    """Somebody at a terminal; `shape` is vault or plain."""

    box: Knox
    directory: Path
    shape: str = "vault"
    delivery: str = "stdin"

    @property
    def keys(self) -> Path:
        return self.directory / "data" / "zrwizard" / "keys" / NAME

    @property
    def geli_key(self) -> bytes:
        return (self.keys / "geli.key").read_bytes()

    @property
    def port(self) -> int:
        return self.box.ports.final

    def _answers(self) -> Path:
        vault = self.shape == "vault"
        path = self.directory / "answers.toml"
        path.write_text(
            ANSWERS.format(
                name=NAME,
                shape=self.shape,
                port=self.port,
                trial=f"trial_port = {self.box.ports.trial}" if vault else "",
                serial=SERIAL,
                whole='whole = "yes"' if vault else "",
                pool=POOL,
                delivery=f'delivery = "{self.delivery}"' if vault else "",
            )
        )
        return path

    def _secret(self, name: str, text: str) -> tuple[str, str]:
        path = self.directory / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return "--secret", f"{name}=file:{path}"

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "zrwizard", "server", "--headless", "--json"),
            *("--console", self.box.guest.console_url, "--answers", str(self._answers())),
            *("--confirm-erase", SERIAL),
            *self._secret("ca-passphrase", PASSPHRASE),
            *self._secret("escrow-passphrase", ESCROW_PASSPHRASE),
        ]

    def start(self) -> subprocess.Popen[str]:
        env = {
            **os.environ,
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_DATA_HOME": str(self.directory / "data"),
        }
        return subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    def run(
        self, timeout: float = 900, until: Callable[[Event], bool] = lambda _: False
    ) -> tuple[int, list[Event]]:
        """Run it to its end, or kill -9 it at the first event for which `until` holds.

        Returns the exit status (-9 when killed) and the events so far.
        """
        process = self.start()
        assert process.stdout
        assert process.stderr
        events: list[Event] = []
        try:
            for line in process.stdout:
                events.append(json.loads(line))
                with (self.directory / "events.json").open("a") as kept:
                    kept.write(line)
                if until(events[-1]):
                    process.kill()
                    break
            status = process.wait(timeout)
        finally:
            process.kill()
        said = process.stderr.read()
        assert "Traceback" not in said, said
        if said:
            print(said)
        return status, events


def begins(step: str) -> Callable[[Event], bool]:
    """Whether an event is the beginning of a step's act."""

    def held(event: Event) -> bool:
        return event["event"] == "StepStarted" and event["step"] == step

    return held

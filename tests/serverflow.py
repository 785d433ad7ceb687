"""A small flow with an operator's side: keys here, a fed disk, an edited file, a fetched one.

Run as a program it is a headless wizard on a `RealShell`, to be killed and started again.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from tests.operatorside import Side
from tests.realsh import RealShell
from zrwizard.facts import Facts
from zrwizard.flows.moves import Answers, Ask, Enter, EnterSecret, Key, Look, Move, Review
from zrwizard.headless import Headless, JsonLines
from zrwizard.plan import (
    Command,
    Danger,
    Edit,
    Feed,
    Fetch,
    Identity,
    Local,
    Phase,
    Plan,
    Send,
    Step,
)
from zrwizard.run.operator import Say
from zrwizard.secrets import Secret, Secrets
from zrwizard.wizard import Wizard

DISK = Identity("da0", "WX11", 8 << 30, "USB disk", "1 2", "nothing")
KEY = Secret("geli-key", "c0ffee" * 21 + "\n")
WAS = 'hostname="knox"\n'
CONTENT = WAS + 'sshd_enable="YES"\n'
GIVEN = Answers({"server.name": "knox"})


class SmallServer:
    """Asks for a name and a new passphrase, looks at the keys, and shows a plan below `root`."""

    name = "server"
    title = "set up a small server"
    keys = (Key("server.name", "Its name.", "knox"),)

    def __init__(self, root: Path) -> None:
        self.root = root

    def next_move(self, facts: Facts, answers: Answers) -> Move:
        """Return the next question, the look at the keys, or the plan."""
        if "server.name" not in answers:
            return Ask(Enter("server.name", "purpose", "Name?", "", "knox"))
        if facts.own is None:
            return Look("own", (answers["server.name"],), "Looking for its keys")
        if "secret.ca-passphrase" not in answers:
            return Ask(
                EnterSecret(
                    "secret.ca-passphrase",
                    "keys",
                    "New passphrase",
                    "",
                    "ca-passphrase",
                    twice=True,
                )
            )
        return Review(self.plan(facts.token))

    def plan(self, token: str) -> Plan:
        """A step of each kind; `home` is made by the target's `RealShell`."""
        root = self.root
        return Plan(
            "server",
            token,
            "Set up the vault knox",
            (
                Step("keys", Phase.KEYS, "Keys", "Made here.", Local("keys", ("knox",), "keygen")),
                Step(
                    "init",
                    Phase.DISK,
                    "Encrypt da0",
                    "With the key.",
                    Feed(f"cat >{root}/da0; wc -c <{root}/da0", "geli-key"),
                    Danger.ERASES,
                    "all of da0",
                    look=f"[ -s {root}/da0 ]",
                    proof=f"[ -s {root}/da0 ]",
                ),
                Step("meta", Phase.DISK, "Fetch", "Kept.", Fetch(f"{root}/meta", "geli.metadata")),
                Step(
                    "send", Phase.ACCESS, "Send", "Known.", Send("ca.pub", f"{root}/ca.pub", 0o644)
                ),
                Step(
                    "rc",
                    Phase.SYSTEM,
                    "Edit rc.conf",
                    "It starts.",
                    Edit(f"{root}/rc.conf", 0o644, CONTENT, WAS, f"{root}/rc.conf.old"),
                    Danger.CHANGES,
                ),
                Step("trial", Phase.TRIAL, "Trial", "Now.", Local("trial", ("knox",), "ssh knox")),
                Step("ready", Phase.FINISH, "Ready", "All is so.", Command(f"echo >>{root}/ready")),
            ),
            (DISK,),
        )


class Keys(Side):
    """Makes a key and a public file; a trial lasts until the file `go` is there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "keys", keys=self._keys, trial=self._trial)
        self.root = root

    def _keys(self, _local: Local, say: Say) -> str:
        key = self.directory / "geli.key"
        if not key.exists():
            say("reading the random source")
            key.write_bytes(KEY.reveal())
            with (self.root / "made").open("a") as stream:
                stream.write("made\n")
        (self.directory / "ca.pub").write_text("ssh-ed25519 AAAA ca\n")
        return "The keys are there."

    def _trial(self, _local: Local, say: Say) -> str:
        (self.root / "tried").touch()
        say("trying the line")
        end = time.monotonic() + 60
        while not (self.root / "go").exists() and not self.closed:
            assert time.monotonic() < end
            time.sleep(0.02)
        return "The line was cut, and the disk was closed."

    def secret(self, name: str) -> Secret | None:
        key = self.directory / "geli.key"
        return Secret(name, key.read_bytes()) if name == "geli-key" and key.exists() else None


class Bench(RealShell):
    """The target's sh with a home of its own for each run."""

    def __init__(self, root: Path, token: str) -> None:
        super().__init__(root)
        self.home = str(root / f"home-{token}")


def prepare(root: Path) -> None:
    """Put there what the target has before."""
    (root / "rc.conf").write_text(WAS)
    (root / "meta").write_bytes(b"\0metadata\xff")


def main(root: Path) -> int:
    """Run it headless on the target in `root`; the exit code."""
    secrets = Secrets({"ca-passphrase": Secret("ca-passphrase", "correct horse")})
    flow = SmallServer(root)
    front = Headless(flow, GIVEN, secrets, ("WX11",), JsonLines(sys.stdout))
    wizard = Wizard(
        flow,
        lambda token: Bench(root, token),
        GIVEN,
        secrets,
        front,
        root / "state",
        threading.Event(),
        console="telnet://127.0.0.1:1",
        interactive=False,
        interval=0.05,
        operator=Keys(root),
    )
    return wizard.run().exit


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

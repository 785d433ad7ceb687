"""A small flow for the drivers' tests: a question of each kind, a preparation, an erasing plan.

Run as a program it is a headless wizard on a `RealShell`, to be killed and started again.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.realsh import RealShell
from zrwizard.facts import Facts
from zrwizard.flows.moves import (
    Agree,
    Answers,
    Ask,
    Choose,
    Enter,
    EnterSecret,
    Key,
    Move,
    Option,
    Prepare,
    Review,
)
from zrwizard.headless import Headless, JsonLines
from zrwizard.plan import (
    Answer,
    Command,
    Danger,
    Dialogue,
    Identity,
    Phase,
    Plan,
    Problem,
    Step,
    Transfer,
    Upload,
)
from zrwizard.secrets import Secret, Secrets
from zrwizard.wizard import Wizard

DISK = Identity("vtbd0", "ZRDISK0001", 8 << 30, "QEMU", "1 2", "no partitions")
PROMPT = """printf 'password: '; read -r p; echo; test "$p" = "$(cat "$ROOT/password")" && exit 0
echo 'Permission denied'; exit 255"""
SEND = """echo 'receiving full stream of hostA@a into zroot@a'
until test -e "$ROOT/go"; do sleep 0.05; done
echo 'received 1.20M stream in 2.00 seconds (614K/sec)'
echo ran >>"$ROOT/ran"
"""


class Toy:
    """Asks for a host, a host key, a password and a disk; then logs in, wipes and pulls."""

    name = "restore"
    title = "restore a toy"
    keys = (
        Key("server.host", "The server's name.", "backup"),
        Key("server.port", "Its port.", "2222", "22"),
        Key("server.host_key", "Its host key.", "SHA256:abc"),
        Key("server.auth", "How to log in.", "password", "password"),
        Key("target.disk", "The disk's serial number.", "ZRDISK0001"),
    )

    def next_move(self, facts: Facts, answers: Answers) -> Move:
        """Return the next question, the preparation, or the plan."""
        for question in _questions():
            if question.key not in answers:
                return Ask(question)
        if answers["server.port"] == "0":
            problem = Problem("server.port", "There is no port 0.", "Give another one.")
            return Ask(Enter("server.port", "server", "Port", "", "22"), problem)
        if "login" not in facts.prepared:
            return Prepare(login_plan(facts), "login")
        return Review(main_plan(facts))


def _questions() -> tuple[Choose | Enter | EnterSecret | Agree, ...]:
    disks = (Option("ZRDISK0001", "vtbd0"), Option("cd0", "cd0", locked="the medium"))
    return (
        Enter("server.host", "server", "Host", "Its name."),
        Enter("server.port", "server", "Port", "Its port.", "22"),
        Agree("server.host_key", "server", "Key", "", "The server shows", "SHA256:abc"),
        Choose("server.auth", "server", "Login", "", (Option("password", "p"),), (), "password"),
        EnterSecret("server.password", "server", "Password", "", "server"),
        Choose("target.disk", "disks", "Disk", "Which one?", disks),
    )


def login_plan(facts: Facts) -> Plan:
    """A dialogue that ends well for the password in $ROOT/password."""
    talk = Dialogue(PROMPT, (Answer("password: $", "server"),))
    login = Step(
        "login",
        Phase.LOGIN,
        "Log in",
        "To get at the data.",
        talk,
        look='test -e "$ROOT/in"',
    )
    mark = Step(
        "mark", Phase.LOGIN, "Mark", "It is done.", Command('touch "$ROOT/in"'), Danger.CHANGES
    )
    return Plan("restore", facts.token, "Log in", (login, mark))


def main_plan(facts: Facts) -> Plan:
    """Write a key file, wipe a disk, pull a stream, look at it."""
    home = facts.home
    return Plan(
        "restore",
        facts.token,
        "Restore the toy",
        (
            Step("key", Phase.LOGIN, "Key", "For ssh.", Upload(f"{home}/key", 0o600, "public")),
            Step(
                "wipe",
                Phase.DISK,
                "Wipe vtbd0",
                "Its table goes.",
                Command('echo x >>"$ROOT/wiped"'),
                Danger.ERASES,
                "everything on vtbd0",
                look='test -e "$ROOT/wiped"',
                guard='test ! -e "$ROOT/other-disk"',
                proof='test -e "$ROOT/wiped"',
            ),
            Step(
                "pull",
                Phase.TRANSFER,
                "Pull",
                "The data.",
                Transfer(SEND, "pull", "zroot", "em0", 1_000_000, 1, 'echo x >>"$ROOT/reset"'),
                Danger.CHANGES,
                proof='grep -c ran "$ROOT/ran"',
            ),
        ),
        (DISK,),
        ("The swap is new.",),
    )


class Bench(RealShell):
    """The real sh with the tools that the toy's transfer wants."""

    def __init__(self, root: Path, token: str) -> None:
        super().__init__(root)
        self.home = str(root / f"home-{token}")
        self.tool("netstat", 'while sleep 0.05; do echo "1 0 0 50000 1 0 9 0"; done\n')
        self.tool("zfs", "echo 98304\n")


GIVEN = Answers(
    {"server.host": "backup", "server.host_key": "SHA256:abc", "target.disk": "ZRDISK0001"}
)


def main(root: Path, confirm: str, password: str) -> int:
    """Run the toy headless on the target in `root`; the exit code."""
    secrets = Secrets({"server": Secret("server", password)})
    front = Headless(Toy(), GIVEN, secrets, (confirm,), JsonLines(sys.stdout))
    wizard = Wizard(
        Toy(),
        lambda token: Bench(root, token),
        GIVEN,
        secrets,
        front,
        root / "state",
        threading.Event(),
        console="telnet://127.0.0.1:1",
        interactive=False,
        interval=0.05,
    )
    return wizard.run().exit


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "ZRDISK0001", "correct horse"))

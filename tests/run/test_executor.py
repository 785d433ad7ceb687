"""The executor on a real sh with real files: order, proofs, refusals, resumption."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from tests.realsh import RealShell
from zrwizard.console.errors import MachineLost, NoAnswer
from zrwizard.plan import (
    Answer,
    Command,
    Danger,
    Dialogue,
    Identity,
    Leave,
    Phase,
    Plan,
    Share,
    Step,
    Transfer,
    Upload,
)
from zrwizard.run import journal as journals
from zrwizard.run.events import Event, Exit, Note, Progress, StepDone, StepFailed, Typed
from zrwizard.run.executor import Run
from zrwizard.run.journal import MAIN, Journal
from zrwizard.run.outcome import Outcome
from zrwizard.secrets import Secret, Secrets

DISK = Identity("vtbd0", "ZRDISK0001", 20 << 30, "disk", "1 2", "empty")
URL = "telnet://127.0.0.1:4474"


def step(id: str, text: str, **more: object) -> Step:
    base = Step(id, Phase.DISK, f"Do {id}", "because", Command(text))
    return replace(base, **more)  # type: ignore[arg-type]


def erase(id: str, text: str, **more: object) -> Step:
    return step(id, text, danger=Danger.ERASES, destroys="all of it", **more)


def plan(*steps: Step) -> Plan:
    return Plan("restore", "abcd1234", "Restore it", steps, disks=(DISK,))


T = TypeVar("T")


class Lab:
    """A target, a state directory and secrets; every `run` is a new process's view of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shell = RealShell(root)
        self.state = root / "state"
        self.secrets = Secrets()
        self.events: list[Event] = []
        self.cancel = threading.Event()

    def run(
        self, plan: Plan, confirmed: tuple[str, ...] = ("ZRDISK0001",), **more: object
    ) -> Outcome:
        found = journals.load(self.state / "runs" / plan.token / journals.NAME)
        if found:
            journal = Journal.reopen(self.state, found, self.secrets)
        else:
            journal = Journal.create(
                self.state, plan.token, console=URL, flow="restore", secrets=self.secrets
            )
            journal.plan(MAIN, plan)

        def emit(event: Event) -> None:
            self.events.append(event)
            journal.event(event)

        try:
            return Run(
                plan,
                self.shell,
                journal.part(MAIN),
                self.secrets,
                emit,
                self.cancel,
                confirmed,
                interval=0.05,
                **more,  # type: ignore[arg-type]
            ).execute()
        finally:
            journal.close()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def file(self, name: str) -> str:
        return (self.root / name).read_text()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_steps_are_looked_at_guarded_acted_and_proven_in_order(lab: Lab) -> None:
    one = step(
        "one",
        'echo act >>"$ROOT/log"',
        look='echo look >>"$ROOT/log"; false',
        guard='echo guard >>"$ROOT/log"',
        proof='echo proof >>"$ROOT/log"',
    )
    assert lab.run(plan(one)).exit is Exit.DONE
    assert lab.file("log").split() == ["look", "guard", "act", "proof"]
    assert [(e.role, e.step) for e in lab.of(Typed)] == [
        (role, "one") for role in ("look", "guard", "act", "proof")
    ]
    assert not lab.of(StepDone)[0].skipped


def test_what_is_so_already_is_skipped(lab: Lab) -> None:
    assert lab.run(plan(step("one", 'touch "$ROOT/acted"', look="true"))).exit is Exit.DONE
    assert not (lab.root / "acted").exists()
    assert lab.of(StepDone)[0].skipped


def test_an_older_table_that_looks_the_same_is_somebody_elses(lab: Lab) -> None:
    wipe = erase("wipe", 'echo x >>"$ROOT/wiped"', look="true")
    assert lab.run(plan(wipe)).exit is Exit.DONE
    assert lab.file("wiped") == "x\n"


def test_a_step_that_this_run_erased_before_is_looked_at(lab: Lab) -> None:
    wipe = erase("wipe", 'echo x >>"$ROOT/wiped"', look='test -e "$ROOT/wiped"')
    fail = step("fail", 'test -e "$ROOT/go"')
    assert lab.run(plan(wipe, fail)).exit is Exit.FAILED
    (lab.root / "go").touch()
    assert lab.run(plan(wipe, fail)).exit is Exit.DONE
    assert lab.file("wiped") == "x\n"


@pytest.mark.parametrize("proof", [None, "true"])
def test_an_erasure_that_was_finished_is_never_done_twice(lab: Lab, proof: str | None) -> None:
    wipe = erase("wipe", 'echo x >>"$ROOT/wiped"', proof=proof)
    fail = step("fail", 'test -e "$ROOT/go"')
    assert lab.run(plan(wipe, fail)).exit is Exit.FAILED
    (lab.root / "go").touch()
    assert lab.run(plan(wipe, fail)).exit is Exit.DONE
    assert lab.file("wiped") == "x\n"


@pytest.mark.parametrize(
    "confirmed", [(), ("",), ("zrdisk0001",), ("vtbd0",), ("ZRDISK0001 ",), ("ZRDISK0001",) * 2]
)
def test_without_the_disks_identity_nothing_is_typed(lab: Lab, confirmed: tuple[str, ...]) -> None:
    harmless = step("mk", 'touch "$ROOT/acted"')
    outcome = lab.run(plan(harmless, erase("wipe", 'touch "$ROOT/wiped"')), confirmed)
    assert outcome.exit is Exit.REFUSED
    assert "ZRDISK0001" in outcome.what
    assert lab.shell.typed == []


def test_a_plan_that_erases_an_unnamed_disk_is_refused(lab: Lab) -> None:
    nameless = replace(plan(erase("wipe", "true")), disks=())
    assert lab.run(nameless, "").exit is Exit.REFUSED
    assert lab.shell.typed == []


def test_a_guard_that_fails_stops_everything(lab: Lab) -> None:
    wipe = erase("wipe", 'touch "$ROOT/wiped"', guard="echo other disk; false")
    outcome = lab.run(plan(wipe, step("next", 'touch "$ROOT/next"')))
    assert outcome.exit is Exit.REFUSED
    assert "other disk" in outcome.what
    assert lab.shell.typed[-1] == "echo other disk; false"
    assert not (lab.root / "wiped").exists()


def test_a_failing_command_is_told_in_the_tools_words(lab: Lab) -> None:
    lab.shell.tool("zpool", "echo \"cannot create 'zroot': pool already exists\" >&2; exit 1\n")
    outcome = lab.run(plan(step("pool", "zpool create zroot gpt/zfs0")))
    assert outcome.exit is Exit.FAILED
    assert "A pool called zroot is imported already" in outcome.what
    assert "status 1" in outcome.what
    assert outcome.now
    assert lab.of(StepFailed)[0].what == outcome.what


def test_a_failing_proof_fails_the_step(lab: Lab) -> None:
    outcome = lab.run(plan(step("one", "true", proof="echo not there; exit 3")))
    assert outcome.exit is Exit.FAILED
    assert "proof failed with status 3" in outcome.what
    assert "not there" in outcome.what


@pytest.mark.parametrize("kind", [MachineLost, NoAnswer])
def test_a_lost_machine_is_no_failed_command(lab: Lab, kind: type[MachineLost]) -> None:
    lab.shell.fail["create"] = lambda: kind("The line ended.", "Look at it.")
    outcome = lab.run(plan(step("pool", "zpool create")))
    assert outcome.exit is Exit.UNREACHABLE
    assert outcome.what == "The line ended."
    assert outcome.now.startswith("Look at it.")


def test_the_server_that_does_not_answer_is_unreachable(lab: Lab) -> None:
    lab.shell.tool("nc", "exit 1\n")
    outcome = lab.run(plan(step("nc", "nc -z -w 5 192.0.2.2 2223", phase=Phase.NETWORK)))
    assert outcome.exit is Exit.UNREACHABLE
    assert outcome.what.startswith("Nothing answers at 192.0.2.2 port 2223.")
    refused = "echo 'ssh: connect to host backup port 22: Connection refused' >&2; exit 255"
    outcome = lab.run(plan(step("ssh", f": ssh; {refused}", phase=Phase.LOGIN)))
    assert outcome.exit is Exit.UNREACHABLE
    assert "nothing listens on port 22" in outcome.what


def test_a_changed_host_key_is_a_refusal(lab: Lab) -> None:
    said = "echo '@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @' >&2; exit 255"
    outcome = lab.run(plan(step("ssh", f": ssh; {said}", phase=Phase.LOGIN)))
    assert outcome.exit is Exit.REFUSED


def test_cancel_between_steps(lab: Lab) -> None:
    lab.cancel.set()
    outcome = lab.run(plan(step("one", 'touch "$ROOT/acted"')))
    assert outcome.exit is Exit.INTERRUPTED
    assert lab.shell.typed == []


# --- dialogues and uploads --------------------------------------------------------------------

ASK = """printf 'root@h password: '; read p; echo; test "$p" = right && exit 0
echo 'root@h: Permission denied (password).'; exit 255"""
LOGIN = Dialogue(ASK, (Answer("password: $", "server"),))


def login(uses: int = 1) -> Plan:
    answers = (Answer("password: $", "server", uses),)
    return plan(step("login", "", action=replace(LOGIN, answers=answers), phase=Phase.LOGIN))


def test_a_prompt_is_answered_with_the_secret(lab: Lab) -> None:
    lab.secrets.add(Secret("server", "right"))
    assert lab.run(login()).exit is Exit.DONE


def test_a_missing_secret_is_named_with_its_option(lab: Lab) -> None:
    outcome = lab.run(login())
    assert outcome.exit is Exit.USAGE
    assert "--secret server=" in outcome.now


def test_a_prompt_that_never_comes_needs_no_secret(lab: Lab) -> None:
    dialogue = Dialogue("echo welcome", (Answer("passphrase: $", "key-passphrase"),))
    assert lab.run(plan(step("login", "", action=dialogue))).exit is Exit.DONE


def test_a_wrong_password_is_asked_for_again_three_times_at_most(lab: Lab) -> None:
    lab.secrets.add(Secret("server", "wrong"))
    asked: list[str] = []

    def more(name: str, problem: object) -> Secret:
        asked.append(f"{name}: {problem}")
        return Secret(name, f"bad {len(asked)}")

    outcome = lab.run(login(), more_secrets=more)
    assert outcome.exit is Exit.FAILED
    assert "“server” was not accepted" in outcome.what
    assert len(asked) == 2
    assert len(lab.shell.typed) == 3


def test_the_second_password_may_be_right(lab: Lab) -> None:
    lab.secrets.add(Secret("server", "wrong"))
    outcome = lab.run(login(), more_secrets=lambda name, _: Secret(name, "right"))
    assert outcome.exit is Exit.DONE


def test_one_wrong_password_headless_stops_at_once(lab: Lab) -> None:
    lab.secrets.add(Secret("server", "wrong"))
    outcome = lab.run(login())
    assert outcome.exit is Exit.FAILED
    assert len(lab.shell.typed) == 1
    assert "wrong" not in outcome.what


def test_files_are_written_with_their_mode(lab: Lab) -> None:
    lab.secrets.add(Secret("key", "KEYKEY"))
    conf, key = str(lab.root / "conf"), str(lab.root / "id")
    outcome = lab.run(
        plan(
            step("conf", "", action=Upload(conf, 0o644, content="Host backup\n")),
            step("key", "", action=Upload(key, 0o600, secret="key")),
        )
    )
    assert outcome.exit is Exit.DONE
    assert lab.file("conf") == "Host backup\n"
    assert lab.file("id") == "KEYKEY\n"
    assert (lab.root / "id").stat().st_mode & 0o777 == 0o600
    assert all("KEYKEY" not in str(event) for event in lab.events)


# --- leaving -----------------------------------------------------------------------------------


def closing(reboot: str = "reboot") -> Plan:
    return plan(
        erase("wipe", 'echo x >>"$ROOT/wiped"', look="false"),
        step("export", 'echo x >>"$ROOT/exported"', phase=Phase.FINISH, danger=Danger.CHANGES),
        step("leave", "", action=Leave(reboot, "login"), phase=Phase.FINISH),
    )


def test_leaving_is_the_shells(lab: Lab) -> None:
    assert lab.run(closing()).exit is Exit.DONE
    assert lab.shell.left == ["reboot"]


def test_after_the_finish_began_nothing_before_is_touched_again(lab: Lab) -> None:
    lab.shell.fail["reboot"] = lambda: NoAnswer("No login was seen.", "Look.")
    assert lab.run(closing()).exit is Exit.UNREACHABLE
    lab.shell.fail.clear()
    assert lab.run(closing()).exit is Exit.DONE
    assert lab.file("wiped") == "x\n"
    assert lab.shell.left == []
    assert any("not sent again" in " ".join(note.text.split()) for note in lab.of(Note))


# --- transfers ---------------------------------------------------------------------------------

SEND = """echo 'receiving full stream of hostA@a into zroot@a'
until test -e "$ROOT/go"; do sleep 0.05; done
echo 'received 1.20M stream in 2.00 seconds (614K/sec)'
test -e "$ROOT/bad" && { echo 'cannot receive: failed to read from stream'; exit 1; }
echo ran >>"$ROOT/ran"
"""
PULL = Transfer(SEND, "pull", "zroot", "em0", 1_000_000, 1, 'echo x >>"$ROOT/reset"')


def pull(**more: object) -> Plan:
    return plan(step("pull", "", action=PULL, phase=Phase.TRANSFER, **more))


@pytest.fixture
def sending(lab: Lab) -> Lab:
    lab.shell.tool("netstat", 'i=0; while sleep 0.05; do echo "1 0 0 50000 1 0 9 0"; done\n')
    lab.shell.tool("zfs", "echo 98304\n")
    return lab


def once_received(lab: Lab, then: Callable[[], object]) -> None:
    """Call `then` in a thread as soon as bytes were counted."""

    def wait() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if any(view.received for view in lab.of(Progress)):
                break
            time.sleep(0.02)
        then()

    threading.Thread(target=wait).start()


def once_watched(lab: Lab, then: Callable[[], object]) -> None:
    """Call `then` in a thread as soon as the transfer has been looked at."""

    def wait() -> None:
        deadline = time.monotonic() + 20
        while not lab.of(Progress) and time.monotonic() < deadline:
            time.sleep(0.02)
        then()

    threading.Thread(target=wait).start()


def test_a_transfer_is_watched_to_its_end(sending: Lab) -> None:
    once_received(sending, (sending.root / "go").touch)
    assert sending.run(pull()).exit is Exit.DONE
    shown = sending.of(Progress)
    assert shown[-1].fraction == 1.0
    assert shown[-1].finished == 1
    assert any(view.current == "zroot@a" for view in shown)
    assert shown[-1].received > 0
    deadline = time.monotonic() + 5
    while sending.shell.job("pull-meter").running:
        assert time.monotonic() < deadline


def test_a_transfer_that_fails_says_why(sending: Lab) -> None:
    (sending.root / "bad").touch()
    (sending.root / "go").touch()
    outcome = sending.run(pull())
    assert outcome.exit is Exit.FAILED
    assert "Nothing arrived" in outcome.what
    assert "status 1" in outcome.what


def test_a_failed_transfer_is_cleared_and_sent_again(sending: Lab) -> None:
    (sending.root / "bad").touch()
    (sending.root / "go").touch()
    assert sending.run(pull()).exit is Exit.FAILED
    assert not (sending.root / "reset").exists()
    (sending.root / "bad").unlink()
    assert sending.run(pull()).exit is Exit.DONE
    assert sending.file("reset") == "x\n"
    assert any("sent again" in note.text for note in sending.of(Note))


def test_stopping_the_watch_leaves_the_transfer_running(sending: Lab) -> None:
    once_watched(sending, sending.cancel.set)
    outcome = sending.run(pull())
    assert outcome.exit is Exit.INTERRUPTED
    assert "goes on" in outcome.what
    assert sending.shell.job("pull").running
    sending.cancel.clear()
    threading.Timer(0.3, (sending.root / "go").touch).start()
    assert sending.run(pull()).exit is Exit.DONE
    assert sending.file("ran") == "ran\n"
    assert any("found running" in note.text for note in sending.of(Note))


def test_a_console_that_dies_does_not_kill_the_transfer(sending: Lab) -> None:
    sending.shell.fail[".look "] = lambda: MachineLost("The line ended.", "Look.")
    outcome = sending.run(pull())
    assert outcome.exit is Exit.UNREACHABLE
    assert "goes on on the target" in outcome.what
    sending.shell.fail.clear()
    (sending.root / "go").touch()
    deadline = time.monotonic() + 5
    while sending.shell.job("pull").running:
        assert time.monotonic() < deadline
    assert sending.run(pull()).exit is Exit.DONE
    assert sending.file("ran") == "ran\n"
    assert not (sending.root / "reset").exists()


def test_a_transfer_that_was_killed_is_lost_and_begun_again(sending: Lab) -> None:
    once_watched(sending, lambda: sending.shell.stop_job("pull"))
    outcome = sending.run(pull())
    assert outcome.exit is Exit.FAILED
    assert "gone from the target" in outcome.what
    (sending.root / "go").touch()
    assert sending.run(pull()).exit is Exit.DONE
    assert sending.file("reset") == "x\n"


def test_one_deaf_moment_is_forgiven(sending: Lab) -> None:
    moments = iter(range(100))

    def deaf() -> NoAnswer:
        if next(moments) >= 1:
            sending.shell.fail.clear()
        return NoAnswer("No answer.", "Look.")

    sending.shell.fail[".look "] = deaf
    (sending.root / "go").touch()
    assert sending.run(pull()).exit is Exit.DONE


# --- the mover ---------------------------------------------------------------------------------

MOVE = """state() {
    printf '%s\\n' "$1 $2 3 0 0 $3 0 0 $4 1" "$5" "$6" >"$ROOT/mover/state.new"
    mv "$ROOT/mover/state.new" "$ROOT/mover/state"
}
state waiting 2 500 1000 zroot/home 'The connection broke off. Again in 1.0 s.'
echo '12:00:00 The connection broke off. Again in 1.0 s.' >>"$ROOT/mover/log"
until test -e "$ROOT/go"; do sleep 0.05; done
echo ran >>"$ROOT/ran"
if test -e "$ROOT/rc"; then
    echo '| cannot receive: out of space' >>"$ROOT/mover/log"
    exit $(cat "$ROOT/rc")
fi
state ended 3 0 3000 - 'All 3 datasets are there.'
"""
SHARES = (Share("zroot", 1000), Share("zroot/home", 1500), Share("zroot/var", 500))


@pytest.fixture
def moving(sending: Lab) -> Lab:
    (sending.root / "mover").mkdir()
    return sending


def move(lab: Lab) -> Plan:
    where = str(lab.root / "mover")
    action = Transfer(MOVE, "pull", "zroot", "em0", 3000, 3, "", SHARES, where)
    return plan(step("pull", "", action=action, phase=Phase.TRANSFER))


def test_a_mover_is_watched_to_its_end(moving: Lab) -> None:
    once_received(moving, (moving.root / "go").touch)
    assert moving.run(move(moving)).exit is Exit.DONE
    shown = moving.of(Progress)
    first, last = shown[0], shown[-1]
    assert (first.received, first.part, first.part_number, first.finished) == (
        1500, "zroot/home", 2, 1,
    )  # fmt: skip
    assert (last.received, last.finished, last.fraction) == (3000, 3, 1.0)
    told = [note.text for note in moving.of(Note) if "broke off" in note.text]
    assert told == ["The connection broke off. Again in 1.0 s."]


@pytest.mark.parametrize(
    ("status", "code", "what", "now"),
    [
        (13, Exit.FAILED, "no space left, or a quota", "Make room"),
        (16, Exit.REFUSED, "a host key that was not confirmed", "Stop."),
        (99, Exit.FAILED, "ended with status 99", ""),
    ],
    ids=["full", "host-key", "unknown"],
)
def test_a_mover_that_ends_early_says_what_its_status_means(
    moving: Lab, status: int, code: Exit, what: str, now: str
) -> None:
    (moving.root / "go").touch()
    (moving.root / "rc").write_text(str(status))
    outcome = moving.run(move(moving))
    assert outcome.exit is code
    assert what in outcome.what
    assert "cannot receive: out of space" in outcome.what
    assert now in outcome.now


def test_a_mover_that_ended_early_goes_on_where_it_was(moving: Lab) -> None:
    (moving.root / "go").touch()
    (moving.root / "rc").write_text("15")
    assert moving.run(move(moving)).exit is Exit.FAILED
    (moving.root / "rc").unlink()
    assert moving.run(move(moving)).exit is Exit.DONE
    assert moving.file("ran") == "ran\nran\n"
    assert any("It goes on where it was." in note.text for note in moving.of(Note))


def test_a_mover_that_was_killed_goes_on_where_it_was(moving: Lab) -> None:
    once_watched(moving, lambda: moving.shell.stop_job("pull"))
    outcome = moving.run(move(moving))
    assert outcome.exit is Exit.FAILED
    assert "it goes on where it was" in outcome.now
    (moving.root / "go").touch()
    assert moving.run(move(moving)).exit is Exit.DONE


HELD = """state() {
    printf '%s\\n' "$1 1 1 0 0 500 0 0 0 0" zroot 'Dataset 1 of 1.' >"$ROOT/mover/state.new"
    mv "$ROOT/mover/state.new" "$ROOT/mover/state"
}
until test -e "$ROOT/go"; do
    if test -e "$ROOT/mover/pause"; then state paused; else state sending; fi
    sleep 0.05
done
state ended
"""


def held(lab: Lab, notices: str = "0.05") -> Plan:
    """A transfer whose mover looks for the word to pause every so many seconds."""
    where = str(lab.root / "mover")
    text = HELD.replace("sleep 0.05", f"sleep {notices}")
    action = Transfer(text, "pull", "zroot", "em0", 500, 1, "", SHARES[:1], where)
    return plan(step("pull", "", action=action, phase=Phase.TRANSFER))


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert what()


def pauses(lab: Lab) -> list[str]:
    """The commands that had the mover pause or go on."""
    return [typed.text for typed in lab.of(Typed) if typed.text.endswith("/mover/pause")]


def test_a_mover_pauses_and_goes_on_as_the_operator_wants(moving: Lab) -> None:
    hold = threading.Event()
    file = moving.root / "mover" / "pause"

    def story() -> None:
        until(lambda: moving.of(Progress))
        hold.set()
        until(lambda: moving.of(Progress)[-1].paused)
        hold.clear()
        until(lambda: not moving.of(Progress)[-1].paused)
        (moving.root / "go").touch()

    thread = threading.Thread(target=story)
    thread.start()
    assert moving.run(held(moving), hold=hold).exit is Exit.DONE
    thread.join()
    assert pauses(moving) == [f": >{file}", f"rm -f {file}"]
    assert not file.exists()
    assert max(event.idle for event in moving.of(Progress) if event.paused) == 0.0


@pytest.mark.parametrize("notices", ["0.05", "0.8"])
def test_a_mover_that_an_earlier_wizard_left_paused_goes_on(moving: Lab, notices: str) -> None:
    """It is told so once, however long it takes to notice."""
    file = moving.root / "mover" / "pause"
    file.touch()

    def story() -> None:
        # The first look may come before the mover has said anything.
        until(lambda: any(event.paused for event in moving.of(Progress)))
        until(lambda: not moving.of(Progress)[-1].paused)
        (moving.root / "go").touch()

    thread = threading.Thread(target=story)
    thread.start()
    assert moving.run(held(moving, notices), hold=threading.Event()).exit is Exit.DONE
    thread.join()
    assert pauses(moving) == [f"rm -f {file}"]

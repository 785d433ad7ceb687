"""What is done beside the target: feeds, edits, fetches, sends, and acts on this machine."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from tests.operatorside import Side
from tests.realsh import RealShell
from tests.shlint import lint
from zrwizard import edits
from zrwizard.console.errors import NoAnswer
from zrwizard.plan import (
    Action,
    Edit,
    Feed,
    Fetch,
    Identity,
    Local,
    Phase,
    Plan,
    Problem,
    Send,
    Step,
)
from zrwizard.run.events import Answered, Event, Exit, StepDone, Typed
from zrwizard.run.executor import Run
from zrwizard.run.journal import MAIN, Journal
from zrwizard.run.operator import MissingSecret, OperatorError, Say
from zrwizard.run.outcome import Outcome
from zrwizard.secrets import Secret, Secrets

KEY = Secret("geli-key", "00ff" * 32 + "\n")
OLD = 'hostname="knox"\n# it\'s ours\n'
NEW = OLD + 'sshd_enable="YES"\nEND_OF_FILE\n'


class Bench:
    """A real sh, a fake operator's side, a real journal."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shell = RealShell(root)
        self.side: Side | None = Side(root / "keys")
        self.secrets = Secrets()
        self.events: list[Event] = []
        self.cancel = threading.Event()
        self.asked: list[tuple[str, Problem | None]] = []
        self.replies: list[str] = []

    def more(self, name: str, problem: Problem | None) -> Secret | None:
        self.asked.append((name, problem))
        return Secret(name, self.replies.pop(0)) if self.replies else None

    def do(self, *actions: Action, **more: object) -> Outcome:
        steps = tuple(
            Step(f"s{n}", Phase.SYSTEM, f"Step {n}", "because", action, **more)  # type: ignore[arg-type]
            for n, action in enumerate(actions)
        )
        plan = Plan("server", "abcd1234", "Set it up", steps, (Identity("d", "S", 1, "", "", ""),))
        journal = Journal.create(
            self.root / "state", plan.token, console="x", flow="server", secrets=self.secrets
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
                "S",
                more_secrets=self.more,
                operator=self.side,
            ).execute()
        finally:
            journal.close()

    def told(self, kind: type[Event]) -> list[str]:
        names = {Typed: "text", Answered: "output"}
        return [getattr(e, names[kind]) for e in self.events if isinstance(e, kind)]

    def written(self) -> bytes:
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files) + repr(self.events).encode()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# --- feed -----------------------------------------------------------------------------------------


def test_a_key_that_rests_with_the_operator_is_fed_and_shown_nowhere(bench: Bench) -> None:
    assert bench.side
    bench.side.kept["geli-key"] = KEY
    text = 'tee /dev/stderr | sha256sum >"$ROOT/sum"'
    assert bench.do(Feed(text, "geli-key")).exit is Exit.DONE
    given = (bench.root / "sum").read_text().split()[0]
    assert given == hashlib.sha256(KEY.reveal()).hexdigest()
    assert bench.told(Typed) == [f"{{ {text}; }} < <secret:geli-key>"]
    assert bench.told(Answered) == ["<secret:geli-key>"]
    assert KEY.reveal().strip() not in bench.written()


def test_the_key_of_an_earlier_run_in_this_process_is_not_taken_for_this_ones(
    bench: Bench,
) -> None:
    assert bench.side
    bench.secrets.add(Secret("geli-key", "the key of a rehearsal"))
    bench.side.kept["geli-key"] = KEY
    assert bench.do(Feed('sha256sum >"$ROOT/sum"', "geli-key")).exit is Exit.DONE
    given = (bench.root / "sum").read_text().split()[0]
    assert given == hashlib.sha256(KEY.reveal()).hexdigest()


def test_a_fed_command_that_fails_is_a_failed_step(bench: Bench) -> None:
    bench.secrets.add(KEY)
    outcome = bench.do(Feed("echo 'no such provider' >&2; exit 3", "geli-key"))
    assert outcome.exit is Exit.FAILED
    assert "status 3" in outcome.what
    assert "no such provider" in outcome.what


def test_a_fed_passphrase_that_is_wrong_is_asked_for_again(bench: Bench) -> None:
    """As geli says it; three times at most, and never where it rests with the keys."""
    opens = "grep -q '^right$' || { echo 'geli: Wrong key for gpt/zfs0.' >&2; exit 1; }"
    bench.secrets.add(Secret("phrase", "wrong"))
    bench.replies = ["worse", "right"]
    assert bench.do(Feed(opens, "phrase")).exit is Exit.DONE
    assert [name for name, problem in bench.asked if problem] == ["phrase", "phrase"]
    bench.secrets.add(Secret("phrase", "wrong"))
    bench.replies = ["worse", "bad", "right"]
    outcome = bench.do(Feed(opens, "phrase"))
    assert outcome.exit is Exit.FAILED
    assert "Wrong key" in outcome.what
    assert bench.replies == ["right"]


def test_a_key_that_rests_with_the_operator_is_not_asked_for(bench: Bench) -> None:
    assert bench.side
    bench.side.kept["geli-key"] = KEY
    bench.replies = ["another"]
    refuses = "cat >/dev/null; echo 'geli: Wrong key for da0.' >&2; exit 1"
    outcome = bench.do(Feed(refuses, "geli-key"))
    assert outcome.exit is Exit.FAILED
    assert bench.asked == []


def test_a_secret_that_nobody_has_is_asked_for_and_then_missing(bench: Bench) -> None:
    bench.replies = ["typed by hand"]
    assert bench.do(Feed('grep -q "^typed by hand$"', "other")).exit is Exit.DONE
    assert bench.asked == [("other", None)]
    outcome = bench.do(Feed("cat", "third"))
    assert outcome.exit is Exit.USAGE
    assert "--secret third=file:PATH" in outcome.now


# --- edit -----------------------------------------------------------------------------------------


def edit(bench: Bench, was: str | None = OLD, content: str = NEW, mode: int = 0o644) -> Edit:
    path = bench.root / "etc" / "rc conf"
    path.parent.mkdir(exist_ok=True)
    return Edit(str(path), mode, content, was, f"{path}.zr-before")


def test_a_file_is_replaced_at_once_and_the_old_one_kept(bench: Bench) -> None:
    action = edit(bench, mode=0o640)
    path = Path(action.path)
    path.write_text(OLD)
    path.chmod(0o600)
    os.utime(path, (1e9, 1e9))
    inode = path.stat().st_ino
    assert bench.do(action).exit is Exit.DONE
    assert path.read_text() == NEW
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_ino != inode
    kept = Path(action.backup)
    assert (kept.read_text(), kept.stat().st_mode & 0o777, kept.stat().st_mtime) == (
        OLD,
        0o600,
        1e9,
    )
    assert sorted(p.name for p in path.parent.iterdir()) == ["rc conf", "rc conf.zr-before"]
    assert '+sshd_enable="YES"' in bench.told(Typed)[0]
    assert "kept as" in bench.told(Answered)[0]


def test_an_edit_may_be_repeated_and_a_second_one_keeps_its_own_old_text(bench: Bench) -> None:
    action = edit(bench)
    path = Path(action.path)
    path.write_text(OLD)
    assert bench.do(action, action).exit is Exit.DONE
    assert "is so already" in bench.told(Answered)[1]
    assert bench.do(edit(bench, NEW, "third\n")).exit is Exit.DONE
    assert Path(action.backup).read_text() == OLD
    assert Path(f"{action.backup}.1").read_text() == NEW
    path.chmod(0o600)
    assert bench.do(edit(bench, NEW, "third\n")).exit is Exit.DONE
    assert path.stat().st_mode & 0o777 == 0o644, "the mode is mended although the text is so"


def test_a_file_that_was_not_there_is_made(bench: Bench) -> None:
    action = edit(bench, None, "no newline at its end: it's $HOME", 0o600)
    assert bench.do(action).exit is Exit.DONE
    path = Path(action.path)
    assert path.read_text() == action.content
    assert path.stat().st_mode & 0o777 == 0o600
    assert not Path(action.backup).exists()


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (OLD, "somebody else's\n", "not the text that it was"),
        (OLD, None, "not there any more"),
        (None, OLD, "is there, and was not"),
    ],
)
def test_what_is_something_else_by_now_stops_the_run(
    bench: Bench, was: str | None, now: str | None, said: str
) -> None:
    action = edit(bench, was)
    if now is not None:
        Path(action.path).write_text(now)
    outcome = bench.do(action)
    assert outcome.exit is Exit.REFUSED
    assert said in outcome.what
    assert "--fresh" in outcome.now
    assert not Path(action.backup).exists()
    assert (Path(action.path).read_text() if now else None) == now


def test_a_link_or_a_directory_is_never_replaced(bench: Bench) -> None:
    action = edit(bench)
    path = Path(action.path)
    real = bench.root / "real"
    real.write_text(OLD)
    path.symlink_to(real)
    assert "symbolic link" in bench.do(action).what
    path.unlink()
    path.mkdir()
    assert "no plain file" in bench.do(action).what
    assert real.read_text() == OLD


def test_a_read_only_file_system_is_explained(bench: Bench) -> None:
    action = edit(bench)
    Path(action.path).write_text(OLD)
    bench.shell.tool("cp", 'echo "cp: $2: Read-only file system" >&2; exit 1\n')
    outcome = bench.do(action)
    assert outcome.exit is Exit.FAILED
    assert "read-only file system" in outcome.what
    assert "mount -uw /" in outcome.now
    assert Path(action.path).read_text() == OLD


def test_a_full_file_system_leaves_the_old_file(bench: Bench) -> None:
    action = edit(bench)
    Path(action.path).write_text(OLD)
    bench.shell.tool("cat", 'echo "cat: stdout: No space left on device" >&2; exit 1\n')
    outcome = bench.do(action)
    assert outcome.exit is Exit.FAILED
    assert "No space left" in outcome.what
    assert Path(action.path).read_text() == OLD


@pytest.mark.parametrize("was", [OLD, None])
def test_its_text_is_plain_sh(bench: Bench, was: str | None) -> None:
    for content in (NEW, "no newline 'y'"):
        script = bench.root / "script"
        script.write_text("#!/bin/sh\n" + edits.script(edit(bench, was, content)) + "\n")
        lint(script)


def test_it_may_be_killed_at_any_moment(bench: Bench) -> None:
    """After each command that it runs: the file is the old text or the new; a repeat mends it."""
    action = edit(bench)
    path = Path(action.path)
    for name in ("cp", "cat", "chmod", "sync", "mv"):
        for old in path.parent.iterdir():
            old.unlink()
        path.write_text(OLD)
        bench.shell.tool(name, f'/bin/{name} "$@"; kill -9 $PPID\n')
        try:
            outcome = bench.do(action)
        except NoAnswer:
            outcome = None
        (bench.root / "bin" / name).unlink()
        assert outcome is None or outcome.exit is not Exit.DONE, name
        assert path.read_text() in {OLD, NEW}, name
        assert bench.do(action).exit is Exit.DONE
        assert path.read_text() == NEW
        assert Path(action.backup).read_text() == OLD


# --- fetch and send -------------------------------------------------------------------------------


def test_a_file_is_fetched_beside_the_keys(bench: Bench) -> None:
    assert bench.side
    data = bytes(range(256))
    (bench.root / "meta").write_bytes(data)
    outcome = bench.do(Fetch(str(bench.root / "meta"), "geli.metadata"))
    assert outcome.exit is Exit.DONE
    there = bench.side.directory / "geli.metadata"
    assert there.read_bytes() == data
    assert there.stat().st_mode & 0o777 == 0o600
    assert "256 bytes" in bench.told(Answered)[0]


def test_what_cannot_be_fetched_or_kept_is_a_failed_step(bench: Bench) -> None:
    assert bench.side
    assert bench.do(Fetch("/nowhere/meta", "meta")).exit is not Exit.DONE
    (bench.root / "meta").write_text("x")
    refused = bench.do(Fetch(str(bench.root / "meta"), "../meta"))
    assert "../meta is no name" in refused.what
    (bench.side.directory / "meta").mkdir()
    outcome = bench.do(Fetch(str(bench.root / "meta"), "meta"))
    assert outcome.exit is Exit.FAILED
    assert "on this machine" in outcome.what


def test_a_public_file_is_sent_and_a_private_key_never(bench: Bench) -> None:
    assert bench.side
    (bench.side.directory / "ca.pub").write_bytes(b"ssh-ed25519 \0binary too\n")
    to = bench.root / "sent here"
    to.mkdir()
    assert bench.do(Send("ca.pub", f"{to}/ca.pub", 0o644)).exit is Exit.DONE
    assert (to / "ca.pub").read_bytes() == b"ssh-ed25519 \0binary too\n"
    assert (to / "ca.pub").stat().st_mode & 0o777 == 0o644
    (bench.side.directory / "ca").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    outcome = bench.do(Send("ca", f"{to}/ca", 0o600))
    assert outcome.exit is Exit.REFUSED
    assert [path.name for path in to.iterdir()] == ["ca.pub"]
    missing = bench.do(Send("host-cert.pub", f"{to}/x", 0o644))
    assert missing.exit is Exit.FAILED
    assert "host-cert.pub" in missing.what


# --- acts on this machine -------------------------------------------------------------------------


def local(act: str, timeout: float = 20.0) -> Local:
    return Local(act, ("knox",), f"ssh-keygen # {act}", timeout)


def test_an_act_tells_what_it_does_and_what_is_so_now(bench: Bench) -> None:
    assert bench.side

    def keys(action: Local, say: Say) -> str:
        say("random bytes are read")
        say(f"keys of {action.detail[0]} are written")
        return "Six keys are there."

    bench.side.acts["keys"] = keys
    assert bench.do(local("keys")).exit is Exit.DONE
    assert bench.told(Typed) == ["on this machine: ssh-keygen # keys"]
    assert bench.told(Answered) == [
        "random bytes are read",
        "keys of knox are written",
        "Six keys are there.",
    ]
    kinds = [type(event) for event in bench.events]
    assert kinds.index(Typed) < kinds.index(Answered) < kinds.index(StepDone)


def test_a_missing_passphrase_is_asked_for_and_a_wrong_one_again(bench: Bench) -> None:
    assert bench.side
    tried: list[bytes] = []

    def escrow(_action: Local, _say: Say) -> str:
        for name, right in (("ca-passphrase", b"one"), ("escrow-passphrase", b"two")):
            secret = bench.secrets.get(name)
            if secret is None:
                raise MissingSecret(name)
            tried.append(secret.reveal())
            if secret.reveal() != right:
                raise MissingSecret(name, wrong=True)
        return "Opened again."

    bench.side.acts["escrow"] = escrow
    bench.replies = ["no", "nor this", "one", "two"]
    assert bench.do(local("escrow")).exit is Exit.DONE
    names = [name for name, _ in bench.asked]
    assert names == ["ca-passphrase"] * 3 + ["escrow-passphrase"]
    assert [problem is not None for _, problem in bench.asked] == [False, True, True, False]
    assert tried == [b"no", b"nor this", b"one", b"one", b"two"]


def test_three_tries_and_no_more(bench: Bench) -> None:
    assert bench.side

    def certify(_action: Local, _say: Say) -> str:
        raise MissingSecret("ca-passphrase", wrong=True)

    bench.side.acts["certify"] = certify
    bench.replies = [f"guess {n}" for n in range(9)]
    outcome = bench.do(local("certify"))
    assert outcome.exit is Exit.USAGE
    assert "does not open" in outcome.what
    assert len(bench.asked) == 3
    assert b"guess" not in bench.written()


def test_without_anybody_to_ask_the_secret_is_named(bench: Bench) -> None:
    assert bench.side

    def certify(_action: Local, _say: Say) -> str:
        raise MissingSecret("ca-passphrase")

    bench.side.acts["certify"] = certify
    outcome = bench.do(local("certify"))
    assert outcome.exit is Exit.USAGE
    assert "--secret ca-passphrase=file:PATH" in outcome.now


def test_an_act_that_fails_is_the_steps_failure_with_its_own_code(bench: Bench) -> None:
    assert bench.side

    def trial(_action: Local, _say: Say) -> str:
        raise OperatorError("The host key is not certified.", "Look who answers.", Exit.REFUSED)

    bench.side.acts["trial"] = trial
    outcome = bench.do(local("trial"))
    assert outcome == Outcome(
        Exit.REFUSED, "“Step 0” failed: The host key is not certified.", "Look who answers.", "s0"
    )


def test_a_fault_of_an_act_itself_is_not_swallowed(bench: Bench) -> None:
    assert bench.side

    def broken(_action: Local, _say: Say) -> str:
        raise ZeroDivisionError("a fault")

    bench.side.acts["broken"] = broken
    with pytest.raises(ZeroDivisionError, match="a fault"):
        bench.do(local("broken"))


def test_a_cancel_is_heard_in_the_middle_of_an_act(bench: Bench) -> None:
    assert bench.side
    side, open_ = bench.side, threading.Event()
    side.acts["slow"] = lambda _action, _say: str(open_.wait(30))
    side.close = lambda: (open_.set(), None)[1]  # type: ignore[method-assign]
    threading.Timer(0.3, bench.cancel.set).start()
    began = time.monotonic()
    outcome = bench.do(local("slow"), local("never"))
    assert outcome.exit is Exit.INTERRUPTED
    assert time.monotonic() - began < 5
    assert side.done == ["slow"]


def test_an_act_that_does_not_end_is_left_after_its_time(bench: Bench) -> None:
    assert bench.side
    open_ = threading.Event()
    bench.side.acts["slow"] = lambda _action, _say: str(open_.wait(30))
    bench.side.close = lambda: (open_.set(), None)[1]  # type: ignore[method-assign]
    outcome = bench.do(local("slow", timeout=0.4))
    assert outcome.exit is Exit.FAILED
    assert "did not end within" in outcome.what


def test_a_plan_with_acts_needs_somebody_to_do_them(bench: Bench) -> None:
    bench.side = None
    outcome = bench.do(local("keys"))
    assert outcome.exit is Exit.USAGE
    assert "zrwizard server" in outcome.now

"""The exported script run by a real sh on harmless plans, and the runbook's text."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.shlint import lint
from zrwizard import export
from zrwizard.cksum import cksum
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
    Transfer,
    Upload,
    from_json,
)

DISK = Identity("vtbd0", "ZR'1", 4096, "A `disk`", "1 2", "GPT with *stars*")


def step(id: str, text: str, **more: object) -> Step:
    values: dict[str, object] = {
        "id": id,
        "phase": Phase.DISK,
        "title": f"Title of '{id}'",
        "why": 'Because $HOME `x` is "y".',
        "action": Command(text),
    }
    return Step(**{**values, **more})  # type: ignore[arg-type]


class Bench:
    """Plans whose files lie in a directory of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.token = "t" + str(abs(hash(root)))[:12]
        self.script = root / "plan.sh"

    def run(
        self,
        *steps: Step,
        typed: str = "",
        disk: Identity | None = None,
        environ: dict[str, str] | None = None,
    ) -> str:
        plan = Plan("restore", self.token, "A plan", steps, (disk,) if disk else (), ("A note.",))
        text = export.to_sh(plan).replace(f"/tmp/zr-{self.token}.steps", str(self.root / "state"))
        self.script.write_text(text)
        lint(self.script)
        done = subprocess.run(
            ["sh", str(self.script)],
            input=typed,
            cwd=self.root,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        self.status, self.errors = done.returncode, done.stderr
        return done.stdout

    def log(self) -> list[str]:
        path = self.root / "log"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_looks_acts_and_proves(bench: Bench) -> None:
    one = step("one", "echo one >> log", look="[ -e done1 ]", proof="grep -q one log")
    two = step("two", "echo two >> log; : > done2", look="[ -e done2 ]")
    out = bench.run(one, two)
    assert bench.status == 0, bench.errors
    assert bench.log() == ["one", "two"]
    assert "All steps are done and proven." in out
    bench.run(one, two)
    assert bench.log() == ["one", "two", "one"]


def test_stops_at_the_first_failure(bench: Bench) -> None:
    bench.run(step("one", "exit 7"), step("two", "echo two >> log"))
    assert bench.status == 1
    assert "Failed: 'one'" in bench.errors
    assert bench.log() == []


def test_failed_proof_stops(bench: Bench) -> None:
    bench.run(step("one", "echo one >> log", proof="exit 1"), step("two", "echo two >> log"))
    assert bench.status == 1
    assert "not proven" in bench.errors
    assert bench.log() == ["one"]


def test_guard_refuses(bench: Bench) -> None:
    bench.run(step("one", "echo one >> log", guard="echo 'another disk' >&2; exit 1"))
    assert bench.status == 1
    assert "another disk" in bench.errors
    assert "Refused" in bench.errors
    assert bench.log() == []


def test_erasing_asks_for_the_identity(bench: Bench) -> None:
    erase = step("one", "echo one >> log", danger=Danger.ERASES, destroys="All of it.")
    for wrong in ("", "\n", "vtbd0\n"):
        bench.run(erase, typed=wrong, disk=DISK)
        assert bench.status == 1
        assert bench.log() == []
    out = bench.run(erase, typed="ZR'1\n", disk=DISK)
    assert bench.status == 0, bench.errors
    assert "This erases the disk vtbd0, A `disk`" in out
    assert bench.log() == ["one"]


def test_erasing_step_is_looked_at_only_where_it_was_begun(bench: Bench) -> None:
    erase = step("one", "echo one >> log", look="true", danger=Danger.ERASES)
    bench.run(erase)
    assert bench.log() == ["one"]
    bench.run(erase)
    assert bench.log() == ["one"]


def test_upload_writes_exactly(bench: Bench) -> None:
    odd = "a 'b' $c `d`\nEND_OF_FILE\n\\e\n"
    bench.run(
        step("one", "", action=Upload(str(bench.root / "f"), 0o600, content=odd)),
        step("two", "", action=Upload(str(bench.root / "g"), 0o640, content="no end")),
        step("three", "", action=Upload(str(bench.root / "h"), 0o600, content="")),
    )
    assert bench.status == 0, bench.errors
    assert (bench.root / "f").read_text() == odd
    assert (bench.root / "f").stat().st_mode & 0o777 == 0o600
    assert (bench.root / "g").read_text() == "no end"
    assert (bench.root / "g").stat().st_mode & 0o777 == 0o640
    assert (bench.root / "h").read_text() == ""


def test_secret_is_asked_for_in_words(bench: Bench) -> None:
    path = bench.root / "id"
    secret = step("key", "", action=Upload(str(path), 0o600, secret="key"))
    bench.run(secret)
    assert bench.status == 1
    assert f"Put the secret 'key' into {path}" in bench.errors
    path.write_text("k")
    bench.run(secret)
    assert bench.status == 0


def test_transfer_resets_before_a_second_try(bench: Bench) -> None:
    transfer = Transfer(
        "echo try >> log; [ -e ready ]", "t", "p", "n", None, 1, "echo reset >> log"
    )
    again = step("transfer", "", action=transfer, look="[ -e ready ]")
    bench.run(again)
    assert bench.log() == ["try"]
    bench.run(again)
    assert bench.log() == ["try", "reset", "try"]


def test_odd_titles_do_no_harm(bench: Bench) -> None:
    odd = step(
        "one", ":", title="$(touch hacked) `x` '", why="two\nlines", destroys="a\n: > hacked"
    )
    bench.run(odd)
    assert bench.status == 0, bench.errors
    assert not (bench.root / "hacked").exists()


def test_runbook() -> None:
    steps = (
        step("one", "echo '```'", danger=Danger.ERASES, destroys="All *of* it.", guard="true"),
        step("two", "echo two", phase=Phase.POOL, look="[ -e x ]", proof="[ -e y ]"),
    )
    text = export.to_markdown(Plan("restore", "tok1", "A <plan>", steps, (DISK,), ("A note.",)))
    assert text.startswith("# A \\<plan\\>\n")
    assert "**Erases the disk `vtbd0`, A \\`disk\\`: serial number `ZR'1`, 4096 bytes" in text
    assert "## Disk" in text
    assert "## Pool" in text
    assert "**Erases.** All \\*of\\* it." in text
    assert "````sh\necho '```'\n````" in text
    assert "Skipped if this succeeds:\n\n```sh\n[ -e x ]\n```" in text
    assert "Proven if this succeeds:\n\n```sh\n[ -e y ]\n```" in text


# --- what has to do with the operator's own machine -----------------------------------------------


def test_a_secret_is_read_from_a_file_that_a_variable_names(bench: Bench) -> None:
    fed = step("attach", "", action=Feed("cksum >> log; exit 0", "geli-key"))
    bench.run(fed)
    assert bench.status == 1
    assert "set ZR_GELI_KEY to its path" in bench.errors
    assert bench.log() == []
    (bench.root / "key").write_bytes(b"\0binary\n")
    bench.run(fed, environ={"ZR_GELI_KEY": "key"})
    assert bench.status == 0, bench.errors
    assert bench.log() == [str(cksum(b"\0binary\n")), "8"]


def test_an_edit_is_guarded_in_the_script_too(bench: Bench) -> None:
    path = bench.root / "rc.conf"
    path.write_text("old $HOME\n")
    edit = step(
        "edit", "", action=Edit(str(path), 0o600, "new `x`\n", "old $HOME\n", f"{path}.old")
    )
    bench.run(edit)
    assert bench.status == 0, bench.errors
    assert (path.read_text(), (bench.root / "rc.conf.old").read_text()) == (
        "new `x`\n",
        "old $HOME\n",
    )
    path.write_text("another\n")
    bench.run(edit)
    assert bench.status == 1
    assert "not the text that it was" in bench.errors
    assert path.read_text() == "another\n"


def test_what_is_done_elsewhere_is_said_and_waited_for(bench: Bench) -> None:
    (bench.root / "meta").write_text("meta")
    steps = (
        step("keys", "", action=Local("keys", ("knox",), "ssh-keygen -t ed25519 # it's yours")),
        step("meta", "", action=Fetch(str(bench.root / "meta"), "geli.metadata")),
        step("cert", "", action=Send("host-cert.pub", str(bench.root / "cert"), 0o640)),
    )
    out = bench.run(*steps, typed="\n\n")
    assert "On your own machine: ssh-keygen -t ed25519 # it's yours" in out
    assert f"{cksum(b'meta')} 4" in out
    assert bench.status == 1, "nobody pressed Enter for the third, and nothing was copied"
    (bench.root / "cert").write_text("c")
    out = bench.run(*steps, typed="\n\n\n")
    assert bench.status == 0, bench.errors
    assert out.count("Press Enter when that is done") == 3
    assert (bench.root / "cert").stat().st_mode & 0o777 == 0o640


def test_the_runbook_of_such_steps_shows_diffs_and_no_secret() -> None:
    edit = Edit("/etc/rc.conf", 0o644, 'a\nsshd_enable="YES"\n', "a\nb\n", "/etc/rc.conf.old")
    steps = (
        step("one", "", action=Feed("geli attach -p -k - /dev/da0", "geli-key")),
        step("two", "", action=edit),
        step("three", "", action=Fetch("/tmp/meta", "geli.metadata")),
        step("four", "", action=Send("ca.pub", "/etc/ssh/ca.pub", 0o644)),
        step("five", "", action=Local("sheet", ("knox",), "lpr sheet.txt")),
    )
    text = export.to_markdown(Plan("server", "tok1", "A server", steps))
    assert "geli attach -p -k - /dev/da0 < KEYFILE" in text
    assert "`geli-key`" in text
    assert "```diff\nwrite /etc/rc.conf (mode 0644), the old one is kept as" in text
    assert '\n-b\n+sshd_enable="YES"\n' in text
    assert text.count("On your own machine:") == 3
    assert "copy /tmp/meta of the target to geli.metadata" in text
    assert "lpr sheet.txt" in text


def test_every_action_comes_back_from_json() -> None:
    steps = (
        step("one", "", action=Feed("geli attach", "geli-key", 5.0)),
        step("two", "", action=Edit("/etc/x", 0o600, "new\n", None, "/etc/x.old")),
        step("three", "", action=Edit("/etc/y", 0o600, "new\n", "old\n", "/etc/y.old")),
        step("four", "", action=Fetch("/tmp/meta", "geli.metadata")),
        step("five", "", action=Send("ca.pub", "/etc/ssh/ca.pub", 0o644)),
        step("six", "", action=Local("certify", ("knox", "host", "22"), "ssh-keygen -s ca", 7.0)),
    )
    plan = Plan("server", "tok1", "A server", steps)
    assert from_json(plan.to_json()) == plan

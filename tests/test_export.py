"""The exported script run by a real sh on harmless plans, and the runbook's text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.shlint import lint
from zrwizard import export
from zrwizard.plan import (
    Command,
    Danger,
    Identity,
    Phase,
    Plan,
    Step,
    Transfer,
    Upload,
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

    def run(self, *steps: Step, typed: str = "", disk: Identity | None = None) -> str:
        plan = Plan("restore", self.token, "A plan", steps, disk, ("A note.",))
        text = export.to_sh(plan).replace(f"/tmp/zr-{self.token}.steps", str(self.root / "state"))
        self.script.write_text(text)
        lint(self.script)
        done = subprocess.run(
            ["sh", str(self.script)],
            input=typed,
            cwd=self.root,
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
    text = export.to_markdown(Plan("restore", "tok1", "A <plan>", steps, DISK, ("A note.",)))
    assert text.startswith("# A \\<plan\\>\n")
    assert "**Erases the disk `vtbd0`, A \\`disk\\`: serial number `ZR'1`, 4096 bytes" in text
    assert "## Disk" in text
    assert "## Pool" in text
    assert "**Erases.** All \\*of\\* it." in text
    assert "````sh\necho '```'\n````" in text
    assert "Skipped if this succeeds:\n\n```sh\n[ -e x ]\n```" in text
    assert "Proven if this succeeds:\n\n```sh\n[ -e y ]\n```" in text

"""`zrwizard keys`, from its arguments to its exit code."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pexpect
import pytest

from tests.keyring.bench import CA_PASS, CHEAP, ESCROW_PASS, Bench
from tests.keyring.test_operator import secrets_of
from zrwizard.keyring import ca, command, escrow, install
from zrwizard.keyring.channel import DialError, Reply
from zrwizard.keyring.store import Keyring
from zrwizard.secrets import Secret, Secrets

DAY = 86400
REPO = Path(__file__).parents[2]


class Said:
    """What the command printed, all of it kept."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.all = ""
        self.out = ""
        self.err = ""

    def keys(self, *argv: str, secrets: Secrets | None = None) -> int:
        """Run `zrwizard keys` in this process; its exit code."""
        parser = argparse.ArgumentParser(prog="zrwizard keys")
        command.add_keys(parser)
        code = command.run(parser.parse_args(argv), secrets or Secrets())
        self.out, self.err = self.capsys.readouterr()
        self.all += self.out + self.err
        return code


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.setattr(command, "COST", CHEAP)
    return Said(capsys)


@pytest.fixture
def here(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """The keys are where the command looks for them, and are made now."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    bench.root = tmp_path / "zrwizard" / "keys"
    bench.now = int(time.time())
    return bench


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Both passphrases as arguments."""
    found = []
    for name, value in (("ca-passphrase", CA_PASS), ("escrow-passphrase", ESCROW_PASS)):
        path = tmp_path / name
        path.write_text(value + "\n")
        path.chmod(0o600)
        found += ["--secret", f"{name}=file:{path}"]
    return found


def test_list(here: Bench, said: Said) -> None:
    assert said.keys("list") == 0
    assert "There are no keys in" in said.out
    here.everything()
    assert said.keys("list") == 0
    assert said.out.split()[:4] == ["knox", "vault", "root@127.0.0.1:22,", "disk"]
    (here.root / "vera").mkdir(mode=0o700)
    (here.root / "vera" / "keyring.json").write_text("{")
    (here.root / "vera" / "keyring.json").chmod(0o600)
    assert said.keys("list") == 0
    assert "vera" in said.out
    assert "is damaged" in said.out


def test_show(here: Bench, said: Said) -> None:
    keyring = here.everything()
    assert said.keys("show", "knox") == 0
    assert ca.fingerprint(ca.open_public(keyring.text("ca.pub"))) in said.out
    rows = [row.split() for row in said.out.splitlines()]
    assert [row[:2] for row in rows if row and row[0].isdigit()] == [
        ["1", "host"],
        ["2", "login"],
        ["3", "deliver"],
        ["4", "receive"],
    ]


@pytest.mark.parametrize("act", ["show", "check", "sheet", "escrow"])
def test_no_such_keys(here: Bench, said: Said, act: str) -> None:
    assert said.keys(act, "nobody") == 2
    assert "There are no keys called “nobody” here" in said.err
    assert said.keys(act, "../x") == 2
    assert "cannot name a server" in said.err


class TestCheck:
    """Whether all is sound, valid, and in the bundle."""

    def test_all_is_well(self, here: Bench, said: Said, given: list[str]) -> None:
        here.everything()
        assert said.keys("check", "knox", *given) == 0
        assert "opened, both forms, and is equal to the keys" in said.out
        assert "are sound" in said.out
        assert said.keys("check", "knox") == 0
        assert "compared by its sums only" in said.out

    def test_a_stale_bundle(self, here: Bench, said: Said, given: list[str]) -> None:
        here.everything().write("extra", b"x")
        for words in ([], given):
            assert said.keys("check", "knox", *words) == 1
            assert "older than the keys" in said.out
            assert "zrwizard keys escrow knox" in said.out

    def test_a_changed_byte(self, here: Bench, said: Said) -> None:
        keyring = here.everything()
        data = keyring.read("escrow.tar.enc")
        keyring.write("escrow.tar.enc", data[:-1] + bytes([data[-1] ^ 1]))
        assert said.keys("check", "knox") == 1
        assert "escrow.tar.enc was changed since it was written" in said.out

    def test_modes(self, here: Bench, said: Said) -> None:
        here.everything().path("receive").chmod(0o640)
        assert said.keys("check", "knox") == 1
        assert "open to others (mode 0640)" in said.out

    @pytest.mark.parametrize(
        ("age_days", "words"),
        [
            (705, "expires in 25 days"),
            (729, "expires in a day"),
            (731, "expired on"),
            (-2, "clock is wrong"),
        ],
    )
    def test_dates(self, here: Bench, said: Said, age_days: int, words: str) -> None:
        here.now -= age_days * DAY - 3600
        here.everything()
        assert said.keys("check", "knox") == 1
        assert words in said.out
        assert said.out.count(words) in (3, 4)

    def test_revoked_and_not_issued_again(self, here: Bench, said: Said, given: list[str]) -> None:
        here.everything()
        assert said.keys("revoke", "knox", "3", *given) == 0
        assert said.keys("check", "knox", *given) == 1
        assert "The certificate for deliver (serial 3) is revoked." in said.out

    def test_a_certificate_that_is_another(self, here: Bench, said: Said) -> None:
        keyring = here.everything()
        keyring.write("deliver-cert.pub", keyring.read("receive-cert.pub"))
        assert said.keys("check", "knox") == 1
        assert "The certificate for deliver is not the one in the record." in said.out

    def test_a_moved_directory(
        self, here: Bench, said: Said, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyring = here.everything()
        moved = here.root.parent / "other" / "zrwizard" / "keys"
        moved.mkdir(parents=True, mode=0o700)
        keyring.directory.rename(moved / "knox")
        monkeypatch.setenv("XDG_DATA_HOME", str(here.root.parent / "other"))
        assert said.keys("check", "knox") == 1
        assert "ssh_config does not fit the record or this place" in said.out
        assert said.keys("sheet", "knox") == 0
        assert str(moved) in (moved / "knox" / "ssh_config").read_text()

    def test_half_made_keys(self, here: Bench, said: Said) -> None:
        here.make()
        here.keyring().path("receive").unlink()
        assert said.keys("check", "knox") == 1
        assert "Not made yet: receive." in said.out
        assert "geli.metadata is missing" in said.out
        assert "no finished escrow bundle" in said.out

    def test_other_metadata(self, here: Bench, said: Said) -> None:
        here.everything().write("geli.metadata", b"another disk's")
        assert said.keys("check", "knox") == 1
        assert "geli.metadata has changed since the escrow bundle was written" in said.out


class TestIssue:
    """A certificate anew."""

    def test_each_role(self, here: Bench, said: Said, given: list[str]) -> None:
        here.everything()
        for serial, role in enumerate(("login", "deliver", "receive", "host"), 5):
            assert said.keys("issue", "knox", role, *given) == 0, said.err
            assert f"Issued for {role}: serial {serial}, until " in said.out
            assert "Written anew" in said.out
        assert "service sshd" in said.out
        assert escrow.trouble(here.keyring()) == ""
        assert said.keys("check", "knox", *given) == 0, said.out

    def test_days_stay_or_are_given(self, here: Bench, said: Said, given: list[str]) -> None:
        here.everything()
        assert said.keys("issue", "knox", "login", "--days", "7", *given) == 0
        assert said.keys("issue", "knox", "login", *given) == 0
        latest = here.keyring().record.latest("login")
        assert latest is not None
        assert (latest.serial, latest.days) == (6, 7)
        assert said.keys("issue", "knox", "login", "--days", "-1", *given) == 2
        assert said.keys("issue", "knox", "login", "--days", "99999", *given) == 2

    def test_a_new_key(self, here: Bench, said: Said, given: list[str]) -> None:
        old = here.everything().read("login")
        assert said.keys("issue", "knox", "login", "--new-key", *given) == 0
        new = here.keyring().read("login")
        assert new != old
        assert ca.open_key(new, CA_PASS.encode())
        assert said.keys("issue", "knox", "host", "--new-key", *given) == 2

    def test_without_the_bundles_passphrase(
        self, here: Bench, said: Said, given: list[str]
    ) -> None:
        here.everything()
        assert said.keys("issue", "knox", "login", *given[:2]) == 0
        assert "The escrow bundle is older than this: zrwizard keys escrow knox" in said.out

    def test_passphrases(self, here: Bench, said: Said, tmp_path: Path) -> None:
        here.everything()
        before = here.keyring().record
        assert said.keys("issue", "knox", "login") == 2
        assert "“ca-passphrase” is needed now" in said.err
        wrong = Secrets()
        wrong.add(Secret("ca-passphrase", "not these otters"))
        assert said.keys("issue", "knox", "login", secrets=wrong) == 2
        assert "does not open" in said.err
        assert "otters" not in said.all
        assert said.keys("issue", "knox", "login", "--secret", "ca-passphrase=file:/nowhere") == 2
        assert here.keyring().record == before

    def test_before_the_server_has_an_address(
        self, here: Bench, said: Said, given: list[str]
    ) -> None:
        here.make()
        assert said.keys("issue", "knox", "login", *given) == 1
        assert "no address yet" in said.err


class Answering:
    """A dial that notes what it was asked, and answers as it was told."""

    def __init__(self, status: int = 0) -> None:
        self.asked: list[tuple[str, str, int, bytes]] = []
        self.status = status
        self.closed = False

    def __call__(self, _keyring: Keyring, _secrets: Secrets) -> Answering:
        return self

    def run(self, who: str, text: str, port: int, *, stdin: bytes = b"") -> Reply:
        self.asked.append((who, text, port, stdin))
        if self.status == 255:
            raise DialError("silent", "The server does not answer.", "Look whether it is on.")
        return Reply(self.status, b"", "no such\nplace" if self.status else "")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def dial(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """What the command dials."""
    made = Answering()
    monkeypatch.setattr(command, "SshDial", made)
    return made


class TestRevoke:
    """A certificate that counts no more."""

    def test_how_it_gets_there_by_hand(self, here: Bench, said: Said, given: list[str]) -> None:
        keyring = here.everything()
        assert said.keys("revoke", "knox", "4", *given) == 0
        assert keyring.text("revoked.spec").splitlines()[-1] == "serial: 4"
        rows = said.out.splitlines()
        at = next(n for n, row in enumerate(rows) if "counts only on the server" in row)
        put, then = rows[at + 1].strip(), rows[at + 2].strip()
        assert put.startswith(f"ssh -F {keyring.path('ssh_config')} knox ")
        assert put.endswith(f"< {keyring.path('revoked.spec')}")
        assert "ssh-keygen -q -k" in then
        for line in (put, then):
            ran = subprocess.run(["dash", "-n", "-c", line], check=False, timeout=30)
            assert ran.returncode == 0
        assert "zrwizard keys issue knox receive" in said.out
        assert "revoked on" in keyring.path("sheet.txt").read_text()
        assert escrow.trouble(here.keyring()) == ""

    def test_installed_over_ssh(
        self, here: Bench, said: Said, given: list[str], dial: Answering
    ) -> None:
        keyring = here.everything()
        assert said.keys("revoke", "knox", "4", "--install", *given) == 0
        what = install.revocation(keyring)
        assert dial.asked == [
            ("login", what.put, 22, keyring.read("revoked.spec")),
            ("login", what.then, 22, b""),
        ]
        assert dial.closed
        assert "The server has its new list of revoked keys." in said.out

    def test_a_server_that_does_not_take_it(
        self, here: Bench, said: Said, given: list[str], dial: Answering
    ) -> None:
        here.everything()
        for dial.status, words in ((1, "with status 1: no such place"), (255, "does not answer")):
            dial.closed = False
            assert said.keys("issue", "knox", "host", "--install", *given) == 1
            assert words in said.err
            assert dial.closed

    def test_what_it_is_put_in_force_with(self, here: Bench) -> None:
        """Both commands of both installations are sh, and do what they say."""
        keyring = here.everything()
        for what in (install.revocation(keyring), install.certificate(keyring)):
            for text in (what.put, what.then):
                ran = subprocess.run(["dash", "-n", "-c", text], check=False, timeout=30)
                assert ran.returncode == 0
        place = here.root.parent / "etc"
        place.mkdir()
        put = install.revocation(keyring).put.replace("/etc/ssh/zrwizard/knox", str(place))
        subprocess.run(["sh", "-c", put], input=b"serial: 9\n", check=True, timeout=30)
        assert (place / "revoked.spec").read_bytes() == b"serial: 9\n"

    def test_one_that_was_never_issued(self, here: Bench, said: Said, given: list[str]) -> None:
        here.everything()
        assert said.keys("revoke", "knox", "77", *given) == 2
        assert "No certificate of knox has the serial number 77" in said.err

    def test_other_certificates_of_the_same_key(
        self, here: Bench, said: Said, given: list[str]
    ) -> None:
        here.everything()
        assert said.keys("issue", "knox", "receive", *given) == 0
        assert "zrwizard keys revoke knox 4" in said.out
        assert said.keys("revoke", "knox", "4", *given) == 0
        assert "The same key has other valid certificates: serial 5." in said.out


def test_sheet(here: Bench, said: Said) -> None:
    keyring = here.everything()
    keyring.path("sheet.txt").unlink()
    assert said.keys("sheet", "knox") == 0
    assert said.out == keyring.path("sheet.txt").read_text()
    assert "Router: 2222 -> knox:22" in said.out


def test_escrow(here: Bench, said: Said, given: list[str]) -> None:
    here.everything()
    assert said.keys("escrow", "knox", *given) == 0
    assert "equal to the keys" in said.out
    other = Secrets()
    other.add(Secret("escrow-passphrase", "another quiet wall"))
    assert said.keys("escrow", "knox", secrets=other) == 2
    assert said.keys("escrow", "knox", "--new-passphrase", secrets=other) == 0
    assert said.keys("escrow", "knox", *given) == 2
    assert "quiet" not in said.all


def test_a_full_disk(here: Bench, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = here.everything()
    keyring.path("sheet.txt").unlink()

    def full(_handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    assert said.keys("sheet", "knox") == 1
    assert "No space left on device" in said.err


def test_no_secret_is_printed(here: Bench, said: Said, given: list[str]) -> None:
    secrets = secrets_of(here.everything())
    for argv in (
        ["list"],
        ["show", "knox"],
        ["check", "knox", *given],
        ["issue", "knox", "login", "--new-key", *given],
        ["revoke", "knox", "2", *given],
        ["sheet", "knox"],
        ["escrow", "knox", *given],
        ["escrow", "knox", "--new-passphrase", *given],
    ):
        assert said.keys(*argv) == 0, said.err
    assert len(said.all) > 5000
    for secret in [*secrets, *secrets_of(here.keyring())]:
        assert secret.decode() not in said.all


class TestTerminal:
    """On a terminal, passphrases are asked for and not shown."""

    def spawn(self, *argv: str) -> Sequence[str]:
        return [sys.executable, "-m", "zrwizard", "keys", *argv]

    def test_asked_again_when_wrong(self, here: Bench) -> None:
        here.everything()
        argv = self.spawn("check", "knox")
        with pexpect.spawn(argv[0], list(argv[1:]), timeout=60, cwd=str(REPO)) as child:
            child.expect("escrow bundle's passphrase of knox: ")
            child.sendline("wrong harbour wall")
            child.expect("That escrow bundle's passphrase does not open it.")
            child.expect("passphrase of knox: ")
            child.sendline(ESCROW_PASS)
            child.expect("opened, both forms, and is equal")
            rest = child.read()
        assert child.exitstatus == 0
        assert b"harbour" not in rest

    def test_a_new_one_is_typed_twice(self, here: Bench) -> None:
        here.everything()
        argv = self.spawn("escrow", "knox", "--new-passphrase")
        with pexpect.spawn(argv[0], list(argv[1:]), timeout=60, cwd=str(REPO)) as child:
            child.expect("passphrase of knox: ")
            child.sendline("another quiet wall")
            child.expect("The same again: ")
            child.sendline("another quiet hall")
            child.expect("The two are not the same. Start again.")
            child.expect(pexpect.EOF)
        assert child.exitstatus == 2

    def test_three_wrong_ones_are_enough(self, here: Bench) -> None:
        here.everything()
        argv = self.spawn("issue", "knox", "login")
        with pexpect.spawn(argv[0], list(argv[1:]), timeout=60, cwd=str(REPO)) as child:
            for _ in range(3):
                child.expect("CA passphrase of knox: ")
                child.sendline("not these otters")
            child.expect("ca-passphrase.{1,4} does not open")
            rest = child.read()
        assert child.exitstatus == 2
        assert b"otters" not in rest
        assert b"Traceback" not in rest

    def test_a_reader_that_goes_away(self, here: Bench) -> None:
        here.everything()
        argv = " ".join(self.spawn("sheet", "knox"))
        ran = subprocess.run(
            ["bash", "-c", f"{argv} | true; echo ${{PIPESTATUS[0]}}"],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=REPO,
            check=True,
        )
        assert "Traceback" not in ran.stderr
        assert "BrokenPipe" not in ran.stderr
        assert ran.stdout.strip() in ("0", "141")

    def test_the_command_line(self, here: Bench) -> None:
        for words, code in ((("list",), 0), ((), 2), (("show",), 2), (("revoke", "x", "y"), 2)):
            ran = subprocess.run(
                self.spawn(*words),
                capture_output=True,
                text=True,
                timeout=60,
                cwd=REPO,
                check=False,
            )
            assert ran.returncode == code, ran.stderr
            assert "Traceback" not in ran.stderr

"""ssh's config and known_hosts, read by the real ssh and ssh-keygen."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.keyring.bench import NOW, Bench
from zrwizard.keyring import ca, krl, sshconfig
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.store import Keyring, Record


@pytest.fixture
def keyring(bench: Bench) -> Keyring:
    bench.make()
    bench.fetched()
    bench.certify(port=2223, host="vault.example.org")
    return bench.keyring()


def asked(keyring: Keyring, host: str) -> dict[str, list[str]]:
    """Return what ssh makes of the config for `host`, by lower-case keyword."""
    done = subprocess.run(
        ["ssh", "-G", "-F", str(keyring.path("ssh_config")), host],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    found: dict[str, list[str]] = {}
    for row in done.stdout.splitlines():
        word, _blank, value = row.partition(" ")
        found.setdefault(word, []).append(value)
    return found


@pytest.mark.parametrize("role", ["login", "deliver", "receive"])
def test_ssh_reads_each_host(keyring: Keyring, role: str) -> None:
    said = asked(keyring, sshconfig.alias("knox", role))
    assert said["hostname"] == ["vault.example.org"]
    assert said["port"] == ["2223"]
    assert said["user"] == ["root"]
    assert said["identityfile"] == [str(keyring.path(role))]
    assert said["certificatefile"] == [str(keyring.path(f"{role}-cert.pub"))]
    assert said["userknownhostsfile"] == [str(keyring.path("known_hosts"))]
    assert said["identitiesonly"] == ["yes"]
    assert said["stricthostkeychecking"] == ["true"]
    assert said["hostkeyalgorithms"] == ["ssh-ed25519-cert-v01@openssh.com"]
    assert said["hostkeyalias"] == ["knox"]
    assert said["passwordauthentication"] == ["no"]
    assert said["kbdinteractiveauthentication"] == ["no"]
    assert said["forwardagent"] == ["no"]
    single = role != "login"
    assert said["batchmode"] == ["yes" if single else "no"]
    assert said["controlmaster"] == ["false" if single else "auto"]
    assert said.get("identityagent") == (["none"] if single else None)


def test_another_host_is_left_alone(keyring: Keyring) -> None:
    said = asked(keyring, "other")
    assert said["hostname"] == ["other"]
    assert "hostkeyalias" not in said


def test_it_can_be_included(keyring: Keyring, tmp_path: Path) -> None:
    row = next(row for row in keyring.text("ssh_config").splitlines() if "Include" in row)
    own = tmp_path / "config"
    own.write_text(f"{row.split(':', 1)[1].strip()}\nHost *\n    Port 99\n")
    done = subprocess.run(
        ["ssh", "-G", "-F", str(own), "knox-receive"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "port 2223\n" in done.stdout


def test_places_with_blanks_and_percent_signs(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "my keys 100%d" / "k")
    bench.give("ca-passphrase", "three tame otters")
    bench.make()
    bench.fetched()
    bench.certify()
    said = asked(bench.keyring(), "knox-deliver")
    # ssh -G prints tokens as they stand; what it opens is seen with the real sshd.
    assert said["identityfile"] == [str(bench.root / "knox" / "deliver").replace("%", "%%")]


@pytest.mark.parametrize("odd", ['a"b', "a${HOME}b", "a\\b", "a\nb"])
def test_places_that_ssh_cannot_say(tmp_path: Path, odd: str) -> None:
    bench = Bench(tmp_path / odd)
    bench.give("ca-passphrase", "three tame otters")
    bench.make()
    bench.fetched()
    with pytest.raises(KeyringError, match="ssh_config cannot say"):
        bench.certify()


@pytest.mark.parametrize("host", ["knox", "vault.example.org", "[vault.example.org]:2223"])
def test_ssh_keygen_finds_each_hashed_name(keyring: Keyring, host: str) -> None:
    done = subprocess.run(
        ["ssh-keygen", "-F", host, "-f", str(keyring.path("known_hosts"))],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    key = " ".join(keyring.text("ca.pub").split()[:2])
    assert "CA" in done.stdout
    assert key in done.stdout


def test_names_are_hashed(keyring: Keyring) -> None:
    text = keyring.text("known_hosts")
    assert "knox" not in text
    assert "vault.example" not in text
    rows = text.splitlines()
    assert len(rows) == 3
    assert len({row.split("|")[2] for row in rows}) == 3


def test_on_port_22_there_is_no_third_form() -> None:
    record = Record("knox", "vault", NOW, host="knox", port=22)
    assert sshconfig.hosts(record) == ("knox",)
    assert sshconfig.hosts(replace(record, host="::1", port=2223)) == ("knox", "::1", "[::1]:2223")


def test_nothing_is_written_without_a_reason(keyring: Keyring) -> None:
    assert sshconfig.write(keyring) == ()
    keyring.save(replace(keyring.record, port=2224))
    assert sshconfig.write(keyring) == ("known_hosts", "ssh_config")
    assert sshconfig.write(keyring) == ()


def test_a_revoked_host_key_stays_revoked(keyring: Keyring, bench: Bench) -> None:
    stolen = " ".join(keyring.text("host.pub").split()[:2])
    krl.revoke(keyring, 1, NOW)
    sshconfig.write(keyring)
    assert keyring.text("known_hosts").splitlines()[-1] == f"@revoked * {stolen}"
    bench.fetched(ca.make_key(None, "new").public)
    bench.certify(port=2223, host="vault.example.org")
    assert keyring.text("known_hosts").splitlines()[-1] == f"@revoked * {stolen}"


def test_a_hash_is_what_ssh_makes_of_it() -> None:
    salt = bytes(range(20))
    row = f"@cert-authority {sshconfig.hashed('knox', salt)} ssh-ed25519 AAAA"
    assert sshconfig.matches(row, "knox", "ssh-ed25519 AAAA")
    assert not sshconfig.matches(row, "vera", "ssh-ed25519 AAAA")
    assert not sshconfig.matches(row, "knox", "ssh-ed25519 BBBB")
    assert not sshconfig.matches(row.replace("|1|", "|1|!"), "knox", "ssh-ed25519 AAAA")


class TestRevocation:
    """The spec that ssh-keygen -k reads."""

    def test_a_list_made_of_it_refuses_just_these(self, keyring: Keyring, tmp_path: Path) -> None:
        krl.revoke(keyring, 3, NOW)
        made = tmp_path / "revoked"
        base = ["ssh-keygen", "-q", "-k", "-s", str(keyring.path("ca.pub")), "-f", str(made)]
        subprocess.run([*base, str(keyring.path("revoked.spec"))], check=True, timeout=30)
        assert self.query(made, keyring.path("deliver-cert.pub")) == 1
        assert self.query(made, keyring.path("login-cert.pub")) == 0

    def test_an_empty_one_refuses_nobody(self, keyring: Keyring, tmp_path: Path) -> None:
        made = tmp_path / "revoked"
        base = ["ssh-keygen", "-q", "-k", "-s", str(keyring.path("ca.pub")), "-f", str(made)]
        subprocess.run([*base, str(keyring.path("revoked.spec"))], check=True, timeout=30)
        for role in ("login", "deliver", "receive"):
            assert self.query(made, keyring.path(f"{role}-cert.pub")) == 0

    def query(self, made: Path, key: Path) -> int:
        done = subprocess.run(
            ["ssh-keygen", "-Q", "-f", str(made), str(key)],
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode

    def test_done_again_nothing_changes(self, keyring: Keyring) -> None:
        first = krl.revoke(keyring, 4, NOW)
        assert krl.revoke(keyring, 4, NOW + 99) == first
        assert keyring.text("revoked.spec").splitlines()[1:] == ["serial: 4"]
        assert not krl.write(keyring)

    @pytest.mark.parametrize("serial", [0, -1, 5, 99])
    def test_what_was_never_issued(self, keyring: Keyring, serial: int) -> None:
        with pytest.raises(KeyringError, match="No certificate of knox has the serial number"):
            krl.revoke(keyring, serial, NOW)

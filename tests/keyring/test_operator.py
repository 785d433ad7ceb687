"""The acts on keys: each looks first, is done again without harm, and may be killed anywhere."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.keyring.bench import CA_PASS, ESCROW_PASS, METADATA, NOW, SERIAL, SIZE, Bench
from zrwizard import facts
from zrwizard.cksum import cksum
from zrwizard.keyring import ca, files, issue, krl
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.store import Keyring
from zrwizard.plan import Local
from zrwizard.run.events import Exit
from zrwizard.run.operator import MissingSecret, OperatorError

FACTS = facts.empty("abcd1234")
DAY = 86400


def everything(keyring: Keyring) -> dict[str, bytes]:
    return {file: keyring.read(file) for file in keyring.files()}


class TestKeys:
    """The act `keys`."""

    def test_it_makes_what_the_contract_names(self, bench: Bench) -> None:
        said = bench.make()
        keyring = bench.keyring()
        assert said == f"Made in {keyring.directory}: geli key, ca, login, deliver, receive."
        key = keyring.read("geli.key")
        assert re.fullmatch(rb"[0-9a-f]{128}\n", key)
        assert keyring.record.serial == SERIAL
        assert keyring.record.size == SIZE
        for file in keyring.directory.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file
        assert ca.is_protected(keyring.read("ca"))
        assert ca.is_protected(keyring.read("login"))
        assert not ca.is_protected(keyring.read("deliver"))
        assert not ca.is_protected(keyring.read("receive"))

    def test_two_geli_keys_differ(self, bench: Bench, tmp_path: Path) -> None:
        other = Bench(tmp_path / "other", bench.secrets)
        bench.make()
        other.make()
        assert bench.keyring().read("geli.key") != other.keyring().read("geli.key")

    def test_done_again_nothing_changes(self, bench: Bench) -> None:
        bench.make()
        before = everything(bench.keyring())
        assert "they were there before" in bench.make()
        assert everything(bench.keyring()) == before

    def test_a_plain_server_has_no_geli_key(self, bench: Bench) -> None:
        bench.make(shape="plain")
        assert not bench.keyring().has("geli.key")
        side = bench.side()
        side.look(FACTS, "knox")
        assert side.secret("geli-key") is None

    def test_another_disk_is_refused(self, bench: Bench) -> None:
        bench.make()
        before = everything(bench.keyring())
        for serial, size in (("OTHER", SIZE), (SERIAL, SIZE + 512), ("", SIZE)):
            with pytest.raises(KeyringError, match="belong to another disk") as caught:
                bench.make(serial=serial, size=size)
            assert caught.value.code is Exit.REFUSED
        with pytest.raises(KeyringError, match="those of a vault server"):
            bench.make(shape="plain")
        with pytest.raises(KeyringError, match="belong to another disk"):
            bench.do("keys", "knox", "vault", SERIAL, str(SIZE), "knox0")
        assert everything(bench.keyring()) == before

    def test_a_lost_or_changed_geli_key_is_never_replaced(self, bench: Bench) -> None:
        bench.make()
        path = bench.keyring().path("geli.key")
        real = path.read_bytes()
        path.unlink()
        with pytest.raises(KeyringError, match="the disk's key, is missing"):
            bench.make()
        assert not path.exists()
        path.write_bytes(b"0" * 128 + b"\n")
        path.chmod(0o600)
        with pytest.raises(KeyringError, match="not the key that was made for this disk"):
            bench.make()
        path.write_bytes(real)
        assert "they were there before" in bench.make()

    def test_passphrases(self, bench: Bench) -> None:
        del bench.secrets.known["ca-passphrase"]
        with pytest.raises(MissingSecret, match="is needed now") as caught:
            bench.make()
        assert not caught.value.wrong
        assert not bench.root.exists()
        bench.give("ca-passphrase", "short")
        with pytest.raises(KeyringError, match="8 to 512 characters"):
            bench.make()
        assert not bench.root.exists()
        bench.give("ca-passphrase", CA_PASS)
        bench.make()
        bench.give("ca-passphrase", "other tame otters")
        with pytest.raises(MissingSecret) as caught:
            bench.make()
        assert caught.value.wrong
        assert "otters" not in str(caught.value)

    def test_a_lost_public_half_is_made_again(self, bench: Bench) -> None:
        bench.make()
        before = everything(bench.keyring())
        for file in ("ca.pub", "login.pub", "receive.pub"):
            bench.keyring().path(file).unlink()
        bench.make()
        assert everything(bench.keyring()) == before


class TestCertify:
    """The act `certify`."""

    def test_what_it_issues(self, bench: Bench) -> None:
        bench.make()
        bench.fetched()
        said = bench.certify(port=2200)
        assert said == (
            "Certificates of knox, by serial number: host 1, login 2, deliver 3, receive 4."
        )
        keyring = bench.keyring()
        found = {
            role: ca.read_certificate(keyring.text(issue.certificate_file(role)))
            for role in ("host", "login", "deliver", "receive")
        }
        assert {role: one.serial for role, one in found.items()} == {
            "host": 1,
            "login": 2,
            "deliver": 3,
            "receive": 4,
        }
        assert found["host"].principals == ("knox", "127.0.0.1")
        assert found["host"].before == NOW + 3650 * DAY
        assert found["host"].after == NOW - 300
        assert found["login"].principals == ("root",)
        assert (found["login"].options, found["login"].extensions) == ((), ("permit-pty",))
        for role in ("deliver", "receive"):
            command = f"/usr/local/libexec/zr-receiver knox {role}"
            assert found[role].options == (("force-command", command),)
            assert found[role].extensions == ()
        record = keyring.record
        assert (record.host, record.port, record.user, record.pool) == (
            "127.0.0.1",
            2200,
            "root",
            "backup",
        )
        assert "Port 2200" in keyring.text("ssh_config")

    def test_done_again_nothing_changes(self, bench: Bench) -> None:
        bench.make()
        bench.fetched()
        bench.certify()
        before = everything(bench.keyring())
        bench.now += DAY
        assert "host 1 (as before), login 2 (as before)" in bench.certify()
        assert everything(bench.keyring()) == before

    def test_what_differs_is_issued_anew(self, bench: Bench) -> None:
        bench.make()
        bench.fetched()
        bench.certify()
        assert "host 1 (as before), login 5, deliver 3 (as before)" in bench.certify(3650, 90, 730)
        bench.fetched(ca.make_key(None, "new host key").public)
        assert "host 6, login 5 (as before)" in bench.certify(3650, 90, 730)
        assert "host 7, login 5 (as before)" in bench.certify(3650, 90, 730, host="knox.example")
        bench.keyring().path("deliver-cert.pub").unlink()
        assert "deliver 8, receive 4 (as" in bench.certify(3650, 90, 730, host="knox.example")
        bench.now += 46 * DAY
        assert "login 9, deliver 8 (as" in bench.certify(3650, 90, 730, host="knox.example")
        bench.now = NOW - DAY
        assert "host 10, login 11, deliver 12, receive 13." in bench.certify(
            3650, 90, 730, host="knox.example"
        )

    def test_a_revoked_key_is_not_certified_again(self, bench: Bench) -> None:
        bench.make()
        bench.fetched()
        bench.certify()
        old = bench.keyring().text("deliver.pub")
        krl.revoke(bench.keyring(), 3, NOW)
        assert bench.keyring().text("revoked.spec").splitlines()[1:] == ["serial: 3"]
        assert "deliver 5, receive 4 (as before)" in bench.certify()
        assert bench.keyring().text("deliver.pub") != old
        krl.revoke(bench.keyring(), 2, NOW)
        assert "login 6" in bench.certify()
        login = bench.keyring().read("login")
        assert ca.open_key(login, CA_PASS.encode())
        assert bench.keyring().text("revoked.spec").splitlines()[1:] == ["serial: 2", "serial: 3"]

    def test_a_revoked_host_key_is_refused(self, bench: Bench) -> None:
        bench.make()
        bench.fetched()
        bench.certify()
        krl.revoke(bench.keyring(), 1, NOW)
        with pytest.raises(KeyringError, match="host key of knox was revoked"):
            bench.certify()
        stolen = bench.keyring().text("host.pub").split()[1]
        bench.fetched(ca.make_key(None, "new").public)
        assert "host 5" in bench.certify()
        assert stolen not in bench.keyring().text("host.pub")

    def test_without_the_hosts_key(self, bench: Bench) -> None:
        bench.make()
        with pytest.raises(KeyringError, match="host key was not fetched yet"):
            bench.certify()
        for junk in ("", "ssh-rsa AAAA x\n", "ssh-ed25519 AAAA x\n", "a\nb\n"):
            bench.keyring().path("host.pub").write_text(junk)
            bench.keyring().path("host.pub").chmod(0o600)
            with pytest.raises(KeyringError, match=r"host\.pub"):
                bench.certify()

    @pytest.mark.parametrize("days", [(0, 1, 1), (1, 1, 40000)])
    def test_odd_validities(self, bench: Bench, days: tuple[int, int, int]) -> None:
        bench.make()
        bench.fetched()
        with pytest.raises(KeyringError, match="cannot be valid for"):
            bench.certify(*days)

    @pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "a\nb", "ä"])
    def test_odd_hosts(self, bench: Bench, host: str) -> None:
        bench.make()
        bench.fetched()
        with pytest.raises(KeyringError, match="no place that ssh can reach"):
            bench.certify(host=host)

    def test_a_wrong_passphrase(self, bench: Bench) -> None:
        bench.make()
        bench.fetched()
        bench.give("ca-passphrase", "other tame otters")
        with pytest.raises(MissingSecret) as caught:
            bench.certify()
        assert caught.value.wrong
        assert bench.keyring().record.issued == ()


class TestSide:
    """What the wizard and the run ask for besides acts."""

    def test_look(self, bench: Bench) -> None:
        own = bench.side().look(FACTS, "knox").own
        assert own == facts.OwnFacts("knox", str(bench.root / "knox"))
        assert not bench.root.exists()
        bench.make()
        own = bench.side().look(FACTS, "knox").own
        assert own == facts.OwnFacts(
            "knox", str(bench.root / "knox"), there=True, serial=SERIAL, size=SIZE
        )
        bench.fetched()
        own = bench.side().look(FACTS, "knox").own
        assert own is not None
        assert own.metadata == f"{cksum(METADATA)} {len(METADATA)}"

    def test_look_tells_faults(self, bench: Bench) -> None:
        bench.make()
        path = bench.keyring().path("geli.key")
        before = path.read_bytes()
        path.chmod(0o644)
        assert "open to others (mode 0644)" in self.problem(bench)
        path.chmod(0o600)
        path.write_bytes(b"")
        assert "is empty" in self.problem(bench)
        path.unlink()
        assert "the disk's key, is missing" in self.problem(bench)
        path.write_bytes(before)
        path.chmod(0o600)
        assert self.problem(bench) == ""
        bench.keyring().path("login").write_bytes(b"x")
        assert "login cannot be used" in self.problem(bench)

    def test_look_at_an_odd_name(self, bench: Bench) -> None:
        own = bench.side().look(FACTS, "../etc").own
        assert own is not None
        assert "cannot name a server" in own.problem

    def problem(self, bench: Bench) -> str:
        own = bench.side().look(FACTS, "knox").own
        assert own is not None
        assert own.there
        return own.problem

    def test_places(self, bench: Bench) -> None:
        bench.make()
        side = bench.side()
        with pytest.raises(OperatorError):
            side.place("host.pub")
        side.look(FACTS, "knox")
        assert side.place("host.pub") == bench.root / "knox" / "host.pub"
        for file in ("geli.key", "ca", "login", "deliver", "receive", "keyring.json", "../x"):
            with pytest.raises(KeyringError):
                side.place(file)

    def test_the_geli_key_is_given_and_is_known_to_be_secret(self, bench: Bench) -> None:
        bench.make()
        side = bench.side()
        side.look(FACTS, "knox")
        key = side.secret("geli-key")
        assert key is not None
        assert key.reveal() == bench.keyring().read("geli.key")
        assert side.secret("console") is None
        assert bench.secrets.redact(b"x" + key.reveal()).rstrip() == b"x<secret:geli-key>"

    @pytest.mark.parametrize(
        "detail",
        [
            ("keys",),
            ("keys", "knox"),
            ("keys", "knox", "vault", "S", "many"),
            ("certify", "knox", "h", "x", "root", "p", "1", "2", "3"),
            ("escrow", "knox", "more"),
            ("dance", "knox"),
            ("trial-login", "knox", "x"),
        ],
    )
    def test_acts_that_nobody_knows(self, bench: Bench, detail: tuple[str, ...]) -> None:
        with pytest.raises(KeyringError, match="knows no act"):
            bench.side().do(Local(detail[0], detail[1:], ""), bench.said.append)

    def test_an_unknown_trial(self, bench: Bench) -> None:
        bench.make()
        with pytest.raises(KeyringError, match="no trial called"):
            bench.do("trial-fire", "knox", "22")

    def test_a_sheet_without_keys(self, bench: Bench) -> None:
        for act in (("sheet", "knox"), ("escrow", "knox"), ("trial-login", "knox", "22")):
            with pytest.raises(KeyringError, match="no keys called"):
                bench.do(*act)


# --- killed anywhere ------------------------------------------------------------------------------


def test_killed_at_each_write_and_done_again(bench: Bench, tmp_path: Path) -> None:
    """A child dies right before each rename, its new file written; what follows is done again."""
    host = ca.make_key(None, "root@knox").public
    writes = 0
    while killed_at(place := Bench(tmp_path / str(writes), bench.secrets), host, writes + 1):
        survived(place, host)
        writes += 1
    assert writes > 20


def survived(bench: Bench, host: str) -> None:
    """Look at what the dead left, go on, and look at the whole."""
    geli = bench.root / "knox" / "geli.key"
    before = geli.read_bytes() if geli.exists() else None
    reached = issued(bench)
    own = bench.side().look(FACTS, "knox").own
    assert own is not None
    assert own.problem == ""
    all_of_it(bench, host)
    keyring = bench.keyring()
    assert before is None or keyring.read("geli.key") == before
    assert not [one for one in keyring.directory.iterdir() if one.name.endswith(".new")]
    serials = [one.serial for one in keyring.record.issued]
    assert len(serials) == len(set(serials))
    assert 4 <= len(serials) <= 5
    # What was issued before the death stays in the ledger, word by word.
    assert set(reached) <= set(keyring.record.issued)
    for role in ("host", "login", "deliver", "receive"):
        entry = keyring.record.latest(role)
        assert entry is not None
        found = ca.read_certificate(keyring.text(issue.certificate_file(role)))
        assert found.serial == entry.serial
    again = everything(keyring)
    all_of_it(bench, host)
    assert everything(bench.keyring()) == again


def issued(bench: Bench) -> tuple[object, ...]:
    try:
        return bench.keyring().record.issued
    except KeyringError:
        return ()


def all_of_it(bench: Bench, host: str) -> None:
    bench.make()
    keyring = bench.keyring()
    if not keyring.has("geli.metadata"):
        keyring.write("geli.metadata", METADATA)
    bench.do("escrow", "knox")
    if not keyring.has("host.pub"):
        keyring.write("host.pub", host.encode())
    bench.certify()
    bench.do("sheet", "knox", "note")
    bench.do("escrow", "knox")


def killed_at(bench: Bench, host: str, number: int) -> bool:
    """Do everything in a child that dies at its rename `number`; whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            count = 0
            real = Path.replace

            def deadly(self: Path, target: Path) -> Path:
                nonlocal count
                count += 1
                if count == number:
                    os._exit(77)
                return real(self, target)

            Path.replace = deadly  # type: ignore[method-assign,assignment]
            all_of_it(bench, host)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 77)
    return code == 77


# --- secrets --------------------------------------------------------------------------------------


def secrets_of(keyring: Keyring) -> list[bytes]:
    """Return everything of `keyring` that nobody may read anywhere else."""
    found = [CA_PASS.encode(), ESCROW_PASS.encode(), keyring.read("geli.key").strip()]
    for file in ("ca", "login", "deliver", "receive"):
        found += [row for row in keyring.read(file).splitlines()[2:-1] if len(row) > 20]
    return found


def test_no_secret_is_in_anything_but_its_own_file(bench: Bench) -> None:
    keyring = bench.everything()
    secrets = secrets_of(keyring)
    assert len(secrets) > 10
    public = set(keyring.files()) - {"geli.key", "ca", "login", "deliver", "receive"}
    assert {"keyring.json", "sheet.txt", "ssh_config", "escrow.age", "known_hosts"} <= public
    written = b"\0".join(keyring.read(file) for file in sorted(public))
    written += "\0".join(bench.said).encode()
    for secret in secrets:
        assert secret not in written
    # The search itself finds what is there.
    assert secrets[2] in keyring.read("geli.key")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda keyring: keyring.path("geli.key").write_bytes(b"ab" * 70),
        lambda keyring: keyring.path("ca").write_bytes(keyring.read("ca")[:-60]),
        lambda keyring: keyring.path("login").write_bytes(b"AAAA" + keyring.read("login")),
        lambda keyring: keyring.path("keyring.json").write_bytes(b'{"x": 1'),
        lambda keyring: keyring.path("escrow.age").write_bytes(b"x" * 90),
        lambda keyring: keyring.save(replace(keyring.record, geli="0" * 64)),
        lambda keyring: keyring.path("deliver").chmod(0o644),
    ],
)
def test_no_secret_is_in_an_error(bench: Bench, spoil: Callable[[Keyring], object]) -> None:
    keyring = bench.everything()
    secrets = secrets_of(keyring)
    spoil(keyring)
    bench.give("escrow-passphrase", "another harbour")
    heard = 0
    for act in (
        ("keys", "knox", "vault", SERIAL, str(SIZE)),
        ("certify", "knox", "127.0.0.1", "22", "root", "backup", "3650", "730", "730"),
        ("escrow", "knox"),
    ):
        try:
            bench.do(*act)
        except OperatorError as error:
            heard += 1
            chain = f"{error!r} {error.what} {error.now} {error.__cause__!r} {error.__context__!r}"
            for secret in [*secrets, b"another harbour", b"ab" * 20]:
                assert secret.decode() not in chain
    assert heard


def test_a_full_disk_stops_an_act_in_plain_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(KeyringError, match="No space left on device"):
        bench.make()
    monkeypatch.undo()
    bench.make()

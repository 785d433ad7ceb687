"""The trials, over a real sshd and with the real receiver; geli and ZFS are files (`zfsbox`)."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.keyring import zfsbox
from tests.keyring.door import PASSPHRASE, USER, Door, door
from tests.keyring.seen import Sampler
from zrwizard import receiver
from zrwizard.keyring import holding, trial, trial_streams
from zrwizard.keyring.dial import DialError, SshDial
from zrwizard.keyring.holding import Server, TrialError
from zrwizard.run.operator import MissingSecret, OperatorError
from zrwizard.secrets import Secret, Secrets


@dataclass
class House:
    """A server with its receiver, its disk, and the operator's keys."""

    door: Door
    box: Path
    run: Path
    dial: SshDial
    heard: list[str] = field(default_factory=list)

    def act(self, name: str) -> str:
        self.heard.clear()
        doing = getattr(trial, name)
        return str(doing(self.door.keys.keyring, self.dial, self.heard.append, self.door.port))

    def server(self) -> Server:
        return Server(self.door.keys.keyring, self.dial, self.heard.append, self.door.port)

    @contextlib.contextmanager
    def faulty(self, *faults: str) -> Iterator[None]:
        """The box does something wrong meanwhile."""
        with zfsbox.changed(self.box) as state:
            state["faults"] = list(faults)
        try:
            yield
        finally:
            with zfsbox.changed(self.box) as state:
                state["faults"] = []

    def state(self) -> zfsbox.State:
        with zfsbox.changed(self.box) as state:
            return state

    def check_clean(self) -> None:
        """Nothing is left of a trial: no dataset, no session, nothing open, no place."""
        state = self.state()
        assert state["datasets"] == {}
        if state["vault"]:
            assert (state["attached"], state["imported"]) == (False, False)
        # A session removes its marks a moment after it has closed the disk.
        until = time.monotonic() + 30
        while (marks := [path.name for path in self.run.glob("*")]) and time.monotonic() < until:
            time.sleep(0.1)
        assert marks == []
        assert list(Path("/tmp").glob("zr-trial.*")) == []


def _install(directory: Path, box: Path, shape: str, wait: int = 20) -> Path:
    """The receiver's own script, with other places."""
    text = receiver.SCRIPT
    changes = {
        "PATH=/sbin:": f"PATH={box}/bin:/sbin:",
        f"CONFIGS={receiver.CONFIG_DIR} ": f"CONFIGS={directory} ",
        "DEV=/dev ": f"DEV={box}/dev ",
        "PLACES='/var/run/zrwizard /tmp/zrwizard'": f"PLACES='{directory}/run'",
    }
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    script = directory / "zr-receiver"
    script.write_text(text)
    script.chmod(0o755)
    settings = receiver.config(
        shape=shape,
        serial=zfsbox.SERIAL,
        size=zfsbox.SIZE,
        pool=zfsbox.POOL,
        wait=wait,
        attach=20,
    )
    (directory / "knox.conf").write_text(settings)
    return script


@contextlib.contextmanager
def _house(directory: Path, shape: str) -> Iterator[House]:
    box = directory / "box"
    script = _install(directory, box, shape)
    commands = {role: f"{script} knox {role}" for role in receiver.ROLES}
    with door(directory, commands, shape=shape) as made:
        zfsbox.make(box, made.keys.path("geli.key").read_bytes(), vault=shape == "vault")
        made.path = f"{box}/bin:{made.path}"
        made.again()
        secrets = Secrets()
        secrets.add(Secret("ca-passphrase", PASSPHRASE))
        dial = SshDial(made.keys.keyring, secrets)
        try:
            yield House(made, box, directory / "run", dial)
        finally:
            dial.close()


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with _house(tmp_path_factory.mktemp("vault"), "vault") as made:
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with _house(tmp_path_factory.mktemp("plain"), "plain") as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams as small as they may be for a cut to have a middle."""
    monkeypatch.setattr(trial_streams, "LONG", 1 << 20)
    monkeypatch.setattr(trial_streams, "PIECES", 8)
    monkeypatch.setattr(trial_streams, "PAUSE", 0.02)
    monkeypatch.setattr(trial_streams, "ON_DISK", 8.0)


# --- all is well --------------------------------------------------------------------------------


def test_the_whole_bad_day_of_a_vault(vault: House) -> None:
    keys = vault.door.keys
    with Sampler(0.1) as seen:
        heard, said = [], []
        for act in ("login", "deliver", "receive", "cut"):
            said.append(vault.act(act))
            heard += vault.heard
            vault.check_clean()
    assert f"as {USER}" in said[0]
    assert "da0.eli was attached and wd is ONLINE" in said[1]
    assert re.search(r"guid \d+, and was read back the same to the byte; its stream", said[2])
    how = r"exported and detached after \d+ s\. From the resume token the other \d+ KiB were sent"
    assert re.search(how, said[3])
    assert "ClientAliveInterval" in said[3]
    assert any("cut after" in row for row in heard)
    private = [keys.path(f).read_text() for f in ("login", "deliver", "receive", "ca", "geli.key")]
    hidden = [PASSPHRASE, *(text.split("\n")[-2][:40] for text in private)]
    assert not any(secret in row for row in [*said, *heard] for secret in hidden)
    assert seen.times > 10
    assert seen.saw("zr-receiver")
    assert not seen.has(*hidden)
    _nowhere(vault, hidden)


def _nowhere(house: House, hidden: list[str]) -> None:
    """No file of the server's holds a secret (the keyring is elsewhere)."""
    keys = house.door.keys.keyring.directory
    for path in house.box.parent.rglob("*"):
        if path.is_file() and keys not in path.parents:
            data = path.read_bytes()
            assert not any(secret.encode() in data for secret in hidden), path


def test_the_whole_bad_day_of_a_plain_server(plain: House) -> None:
    said = [plain.act(act) for act in ("deliver", "cut")]
    plain.check_clean()
    assert plain.state()["imported"] is True
    assert said[0] == "The pool wd is ONLINE and tells inventory, space and health."
    assert "given up by the receiver after" in said[1]
    assert "From the resume token" in said[1]


def test_a_thief_of_the_vault_finds_nothing(vault: House) -> None:
    assert "were all tried and refused" in vault.act("single")
    vault.check_clean()


# --- what a bad server does ---------------------------------------------------------------------


def _fails(house: House, act: str, kind: type[OperatorError] = TrialError) -> OperatorError:
    with pytest.raises(kind) as error:
        house.act(act)
    assert error.value.what.endswith(".")
    assert error.value.now.endswith(".")
    key = house.door.keys.path("geli.key").read_text().strip()
    assert not any(key in row for row in (error.value.what, error.value.now, *house.heard))
    return error.value


def test_the_disk_is_not_there(vault: House) -> None:
    with vault.faulty("no disk"):
        error = _fails(vault, "deliver")
    assert "the backup disk is not there" in error.what
    vault.check_clean()


def test_the_key_is_not_the_disks(vault: House) -> None:
    key = vault.door.keys.path("geli.key")
    right = key.read_bytes()
    key.write_bytes(b"0" * 128 + b"\n")
    try:
        error = _fails(vault, "deliver")
    finally:
        key.write_bytes(right)
    assert "Wrong key" in error.what
    vault.check_clean()


def test_the_pool_is_not_well(vault: House) -> None:
    with vault.faulty("ill"):
        error = _fails(vault, "deliver")
    assert "DEGRADED" in error.what
    vault.check_clean()


def test_somebody_else_has_the_disk(vault: House) -> None:
    server = vault.server()
    with server.held():
        error = _fails(vault, "deliver")
    assert "another session has the disk" in error.what
    vault.check_clean()


def test_what_comes_back_is_not_what_went(plain: House) -> None:
    with plain.faulty("forgets"):
        assert "does not hold the data" in _fails(plain, "receive").what
    plain.check_clean()
    with plain.faulty("guid"):
        assert "its guid differs" in _fails(plain, "receive").what
    plain.check_clean()


def test_a_large_dataset_of_that_name_is_left_alone(plain: House) -> None:
    with zfsbox.changed(plain.box) as state:
        state["datasets"]["wd/zr-trial"] = dict(props={}, snapshots={}, mounted="", partial=None)
    (plain.box / "data" / "wd%zr-trial" / "live").mkdir(parents=True)
    try:
        with plain.faulty("huge"):
            assert "left alone" in _fails(plain, "receive").what
        assert list(plain.state()["datasets"]) == ["wd/zr-trial"]
    finally:
        shutil.rmtree(plain.box / "data" / "wd%zr-trial")
        with zfsbox.changed(plain.box) as state:
            state["datasets"].clear()
    plain.check_clean()


def test_a_disk_that_stays_attached_after_a_cut(
    vault: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's geli refuses to detach until the trial has said so."""
    monkeypatch.setattr(trial_streams, "NOTICED", 12.0)
    monkeypatch.setattr(trial_streams, "_clean_later", lambda server: None)
    real = trial_streams._on_disk

    def then_stuck(server: Server, base: int, wanted: int) -> int:
        grown = real(server, base, wanted)
        with zfsbox.changed(vault.box) as state:
            state["faults"] = ["stuck"]
        monkeypatch.setattr(trial_streams, "NOTICED", 3.0)
        return grown

    monkeypatch.setattr(trial_streams, "_on_disk", then_stuck)
    try:
        assert "still attached" in _fails(vault, "cut").what
    finally:
        with zfsbox.changed(vault.box) as state:
            state["faults"] = []
    monkeypatch.undo()
    # The receiver's guardian goes on trying; then there is a way in again, and all can be removed.
    trial_streams._clean_later(vault.server())
    vault.check_clean()


def _half(house: House, partial: dict[str, object] | None) -> None:
    """A dataset of which a stream has left the first half, with what is kept of that."""
    one = {"props": {}, "snapshots": {}, "mounted": "", "partial": partial}
    live = house.box / "data" / "wd%zr-trial" / "live"
    live.mkdir(parents=True)
    (live / "data").write_bytes(bytes(1000))
    with zfsbox.changed(house.box) as state:
        state["datasets"]["wd/zr-trial"] = one


def test_a_receiver_that_keeps_nothing_of_a_cut_stream(plain: House) -> None:
    server = plain.server()
    _half(plain, None)
    with pytest.raises(TrialError) as error:
        trial_streams._go_on(server, "wd/zr-trial", "1")
    assert "no resume token" in error.value.what
    trial_streams._remove(server, "zr-trial")
    plain.check_clean()


def test_a_rest_that_cannot_be_sent_is_abandoned(plain: House) -> None:
    _half(plain, {"from": "wd/zr-trial-source@trial", "guid": "1", "size": 2000, "have": 0})
    with plain.faulty("no resume"):
        said = trial_streams._go_on(plain.server(), "wd/zr-trial", "1")
    assert "kernel modules must be upgraded to use this token), so what was there was" in said
    plain.check_clean()


def test_what_an_older_trial_left_is_removed_or_told(plain: House) -> None:
    with plain.faulty("undead"):
        assert "dataset is busy" in _fails(plain, "receive").what
        assert list(plain.state()["datasets"]) == ["wd/zr-trial"]
        assert "does not go away" in _fails(plain, "receive").what
    assert "read back the same" in plain.act("receive")
    plain.check_clean()


# --- what a bad door does -----------------------------------------------------------------------


def test_an_account_and_a_clock_that_are_wrong(
    plain: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    date = plain.box / "bin" / "date"
    date.write_text("#!/bin/sh\necho $(($(/bin/date +%s) - 4000))\n")
    date.chmod(0o755)
    try:
        assert re.search(r"clock is 4\d\d\d seconds behind", _fails(plain, "login").what)
    finally:
        date.unlink()
    who = plain.box / "bin" / "id"
    who.write_text("#!/bin/sh\necho toor\n")
    who.chmod(0o755)
    try:
        assert "made us 'toor'" in _fails(plain, "login").what
    finally:
        who.unlink()


def test_a_door_that_gives_a_thief_more(vault: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is really found is the dial's own test; here it must be an error."""
    found = {"deliver": (), "receive": ("With the key that receives one can have a pty.",)}
    monkeypatch.setattr(SshDial, "tries", lambda self, who, port: found[who])
    error = _fails(vault, "single")
    assert error.what == "With the key that receives one can have a pty."
    assert "sshd_config" in error.now


def test_keys_that_were_mixed_up(vault: House) -> None:
    keys = vault.door.keys
    right = dict(keys.commands)
    keys.commands["deliver"] = "cat"
    keys.certify("deliver")
    try:
        assert "only the other one may" in _fails(vault, "single").what
    finally:
        keys.commands.update(right)
        keys.certify("deliver")


def test_the_passphrase_is_needed(vault: House) -> None:
    keys = vault.door.keys.keyring
    dial = SshDial(keys, Secrets())
    try:
        with pytest.raises(MissingSecret):
            trial.login(keys, dial, vault.heard.append, vault.door.port)
    finally:
        dial.close()


def test_a_line_that_breaks_while_the_pool_is_open(vault: House) -> None:
    """The hold's own connection dies: the act fails, and the server closes all by itself."""
    server = vault.server()
    with pytest.raises(OperatorError) as error, server.held():
        vault.dial._channels[0].cut()
    assert isinstance(error.value, DialError | TrialError)
    assert server.same_as_before(frozenset({zfsbox.OTHER}), 30) is not None
    vault.check_clean()


def test_every_status_of_the_receiver_has_a_reason() -> None:
    assert set(holding._REASONS) == {64, 69, 70, 74, 75, 77}

"""The directory of keys: private, written at once, and read with suspicion."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from zrwizard.keyring import files, store
from zrwizard.keyring.files import KeyringError, read_private, write_private
from zrwizard.keyring.store import Issued, Keyring, NoKeyring, Record

RECORD = Record("knox", "vault", 1_790_000_000, serial="WX1", size=10**12)


def entry(serial: int, role: str = "login") -> Issued:
    return Issued(serial, role, f"knox-{role}", ("root",), 1, 2, 730, "SHA256:x")


def test_a_keyring_is_made_private_and_opened_again(tmp_path: Path) -> None:
    root = tmp_path / "a" / "keys"
    made = Keyring.create(root, RECORD)
    assert (root / "knox").stat().st_mode & 0o777 == 0o700
    assert (root / "knox" / "keyring.json").stat().st_mode & 0o777 == 0o600
    made.write("geli.key", b"0" * 128 + b"\n")
    again = Keyring.open(root, "knox")
    assert again.record == RECORD
    assert again.read("geli.key") == b"0" * 128 + b"\n"
    assert store.names(root) == ("knox",)


def test_the_root_follows_xdg(tmp_path: Path) -> None:
    assert store.root({"XDG_DATA_HOME": "/x"}) == Path("/x/zrwizard/keys")
    home = Path.home() / ".local/share/zrwizard/keys"
    assert store.root({}) == home
    assert store.root({"XDG_DATA_HOME": "relative"}) == home
    assert store.names(tmp_path / "nowhere") == ()


def test_a_record_goes_to_json_and_back(tmp_path: Path) -> None:
    record = replace(
        RECORD, notes=("a", "b"), issued=(entry(1), replace(entry(2), revoked=77)), host="h", port=9
    )
    Keyring.create(tmp_path, RECORD).save(record)
    assert Keyring.open(tmp_path, "knox").record == record
    assert record.latest("login") == record.issued[1]
    assert record.latest("host") is None
    assert record.revoked() == (record.issued[1],)


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "Knox", "-a", "a-", "a b", "x" * 33, ".", "a\n"]
)
def test_odd_names_are_refused_before_anything_is_touched(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyringError, match="cannot name a server"):
        Keyring.open(tmp_path, name)
    with pytest.raises(KeyringError):
        Keyring.create(tmp_path, replace(RECORD, name=name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["../x", "a/b", "", ".hidden", "x.new", "a b"])
def test_odd_files_are_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(KeyringError, match="cannot be the name of a file"):
        Keyring.create(tmp_path, RECORD).path(file)


def test_no_such_keyring(tmp_path: Path) -> None:
    with pytest.raises(NoKeyring, match="no keys called “knox”"):
        Keyring.open(tmp_path, "knox")
    # Its maker was killed right after the directory was made: there is nothing yet.
    (tmp_path / "knox").mkdir(mode=0o700)
    with pytest.raises(NoKeyring):
        Keyring.open(tmp_path, "knox")
    assert Keyring.create(tmp_path, RECORD).record == RECORD


def test_keys_without_their_record_are_never_written_over(tmp_path: Path) -> None:
    made = Keyring.create(tmp_path, RECORD)
    made.write("geli.key", b"secret\n")
    made.path("keyring.json").unlink()
    with pytest.raises(KeyringError, match=r"already holds geli\.key") as caught:
        Keyring.create(tmp_path, RECORD)
    assert "escrow bundle" in caught.value.now
    assert made.read("geli.key") == b"secret\n"


class TestFaults:
    """Every fault of a file is told, with what to do."""

    @pytest.fixture
    def key(self, tmp_path: Path) -> Path:
        made = Keyring.create(tmp_path, RECORD)
        made.write("geli.key", b"secret\n")
        return made.path("geli.key")

    def test_missing(self, key: Path) -> None:
        key.unlink()
        with pytest.raises(KeyringError, match=r"geli\.key is missing"):
            read_private(key)

    def test_empty(self, key: Path) -> None:
        key.write_bytes(b"")
        with pytest.raises(KeyringError, match="is empty"):
            read_private(key)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
    def test_open_to_others(self, key: Path, mode: int) -> None:
        key.chmod(mode)
        with pytest.raises(KeyringError, match=f"open to others \\(mode {mode:04o}\\)") as caught:
            read_private(key)
        assert caught.value.now.startswith(f"chmod 600 {key}")

    def test_the_directory_is_open_to_others(self, key: Path) -> None:
        key.parent.chmod(0o755)
        with pytest.raises(KeyringError, match="open to others") as caught:
            Keyring.open(key.parent.parent, "knox")
        assert caught.value.now.startswith("chmod 700")

    def test_a_link(self, key: Path) -> None:
        real = key.with_name("real")
        key.rename(real)
        key.symlink_to(real)
        with pytest.raises(KeyringError, match="symbolic link"):
            read_private(key)

    def test_a_directory_that_is_a_link(self, key: Path) -> None:
        root = key.parent.parent
        key.parent.rename(root / "other")
        (root / "knox").symlink_to(root / "other")
        with pytest.raises(KeyringError, match="no plain directory"):
            Keyring.open(root, "knox")

    def test_no_plain_file(self, key: Path) -> None:
        key.unlink()
        key.mkdir(mode=0o700)
        with pytest.raises(KeyringError, match="no plain file"):
            read_private(key)
        key.rmdir()
        os.mkfifo(key, 0o600)
        with pytest.raises(KeyringError, match="no plain file"):
            read_private(key)

    def test_foreign_owner(self, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        mine = os.getuid()
        monkeypatch.setattr(files.os, "getuid", lambda: mine + 1)
        with pytest.raises(KeyringError, match=f"belongs to user {mine}, not to you"):
            read_private(key)

    def test_too_large(self, key: Path) -> None:
        key.write_bytes(b"x" * (files.MAX_FILE + 1))
        with pytest.raises(KeyringError, match="larger than"):
            read_private(key)

    def test_unreadable(self) -> None:
        """Root reads everything: what is asked for is asked by somebody else then."""
        code = (
            "import os, sys, pathlib\n"
            "from zrwizard.keyring.files import KeyringError, read_private\n"
            "if os.getuid() == 0:\n"
            "    os.setuid(65534)\n"
            "try:\n"
            "    read_private(pathlib.Path(sys.argv[1]))\n"
            "except KeyringError as error:\n"
            "    print(error.what)\n"
        )
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            key = Path(place) / "geli.key"
            key.write_bytes(b"secret\n")
            key.chmod(0)
            ran = subprocess.run(
                [sys.executable, "-c", code, str(key)],
                capture_output=True,
                text=True,
                cwd=Path(__file__).parents[2],
                timeout=60,
                check=False,
            )
        assert ran.stdout == f"{key} cannot be read: Permission denied.\n", ran.stderr

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            "null",
            "\xff",
            '{"format": "zrwizard-keyring-0"}',
            '{"format": "zrwizard-keyring-1", "name": "knox"}',
            '{"format": "zrwizard-keyring-1", "name": "knox", "shape": "cube", "created": 1}',
            '{"format": "zrwizard-keyring-1", "name": "knox", "shape": "vault", "created": "x"}',
            "[" * 100_000,
        ],
    )
    def test_damaged_record(self, key: Path, text: str) -> None:
        key.with_name("keyring.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(KeyringError, match="is damaged"):
            Keyring.open(key.parent.parent, "knox")

    def test_another_servers_record(self, key: Path) -> None:
        key.parent.rename(key.parent.with_name("vera"))
        with pytest.raises(KeyringError, match="the keys of “knox”, not of “vera”"):
            Keyring.open(key.parent.parent, "vera")


class TestWriting:
    """A write leaves the old file or the new one, never half of one."""

    @pytest.mark.parametrize("call", ["open", "fsync", "replace"])
    def test_disk_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        path = tmp_path / "geli.key"
        write_private(path, b"old")

        def full(*_args: object, **_rest: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if call == "replace":
            monkeypatch.setattr(Path, "replace", full)
        else:
            monkeypatch.setattr(files.os, call, full)
        with pytest.raises(KeyringError, match="No space left on device"):
            write_private(path, b"new")
        monkeypatch.undo()
        assert path.read_bytes() == b"old"
        assert [one.name for one in tmp_path.iterdir()] == ["geli.key"]

    def test_read_only_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_args: object, **_rest: object) -> int:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(files.os, "open", refused)
        with pytest.raises(KeyringError, match="Read-only file system"):
            write_private(tmp_path / "x", b"new")

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"mine")
        (tmp_path / "key.new").symlink_to(victim)
        write_private(tmp_path / "key", b"secret")
        assert victim.read_bytes() == b"mine"
        assert (tmp_path / "key").read_bytes() == b"secret"

    def test_the_umask_does_not_matter(self, tmp_path: Path) -> None:
        old = os.umask(0)
        try:
            write_private(tmp_path / "key", b"secret")
        finally:
            os.umask(old)
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_only_one_works_on_a_keyring(tmp_path: Path) -> None:
    made = Keyring.create(tmp_path, RECORD)
    (made.directory / "geli.key.new").write_bytes(b"half")
    with made.locked():
        assert not (made.directory / "geli.key.new").exists()
        with pytest.raises(KeyringError, match="Another zrwizard"), made.locked():
            pass
    with made.locked():
        pass


def test_serials_are_never_given_twice(tmp_path: Path) -> None:
    made = Keyring.create(tmp_path, RECORD)
    assert made.next_serial() == 1
    made.enter(entry(1))
    made.enter(entry(5))
    assert Keyring.open(tmp_path, "knox").next_serial() == 6
    made.enter(replace(entry(5), revoked=9))
    again = Keyring.open(tmp_path, "knox")
    assert again.next_serial() == 6
    assert [one.serial for one in again.record.issued] == [1, 5]


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    made = Keyring.create(tmp_path, RECORD)
    assert json.loads(made.path("keyring.json").read_text())["serial"] == "WX1"


ODD = [
    {"host": "a b"},
    {"host": "ä"},
    {"host": "x\n    ProxyCommand touch /tmp/x"},
    {"user": "root\n"},
    {"pool": "a'b"},
    {"part": "$(x)"},
    {"port": 0},
    {"port": 70000},
    {"created": -1},
    {"created": 1 << 62},
]


@pytest.mark.parametrize("odd", ODD)
def test_what_cannot_stand_in_sshs_files_is_not_believed(
    tmp_path: Path, odd: dict[str, str | int]
) -> None:
    made = Keyring.create(tmp_path, RECORD)
    data = json.loads(made.path("keyring.json").read_text())
    made.path("keyring.json").write_text(json.dumps({**data, **odd}))
    with pytest.raises(KeyringError, match="is damaged"):
        Keyring.open(tmp_path, "knox")


@pytest.mark.parametrize(
    "odd",
    [
        {"serial": 0},
        {"serial": 1},
        {"role": "king"},
        {"identity": "a\nb"},
        {"principals": ["ä"]},
        {"before": -5},
        {"revoked": 1 << 60},
    ],
)
def test_a_ledger_that_cannot_be_is_not_believed(tmp_path: Path, odd: dict[str, object]) -> None:
    made = Keyring.create(tmp_path, RECORD)
    made.save(replace(RECORD, issued=(entry(1), entry(2))))
    data = json.loads(made.path("keyring.json").read_text())
    data["issued"][1].update(odd)
    made.path("keyring.json").write_text(json.dumps(data))
    with pytest.raises(KeyringError, match="is damaged"):
        Keyring.open(tmp_path, "knox")

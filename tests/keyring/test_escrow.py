"""The escrow bundle: written, opened again, compared; and opened by hand with age and openssl."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.keyring.bench import ESCROW_PASS, Bench
from tests.keyring.on_tty import on_tty
from zrwizard.keyring import age, escrow, files, openssl_enc
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.store import Keyring
from zrwizard.run.operator import MissingSecret
from zrwizard.secrets import Secret

SECRET = Secret("escrow-passphrase", ESCROW_PASS)
ITER = 1000


@pytest.fixture
def keyring(bench: Bench) -> Keyring:
    return bench.everything()


def ensure(keyring: Keyring, secret: Secret = SECRET, *, new_passphrase: bool = False) -> str:
    return escrow.ensure(keyring, secret, 10, ITER, new_passphrase=new_passphrase)


EXPECTED = {
    "README",
    "SHA256SUMS",
    "ca",
    "ca.pub",
    "deliver",
    "deliver-cert.pub",
    "deliver.pub",
    "geli.key",
    "geli.metadata",
    "host-cert.pub",
    "host.pub",
    "keyring.json",
    "known_hosts",
    "login",
    "login-cert.pub",
    "login.pub",
    "receive",
    "receive-cert.pub",
    "receive.pub",
    "revoked.spec",
    "ssh_config",
}


def check_unpacked(keyring: Keyring, place: Path) -> None:
    """Whether the bundle that was unpacked by hand at `place` is the keyring, file by file."""
    top = place / "knox"
    assert {one.name for one in top.iterdir()} == EXPECTED
    assert top.stat().st_mode & 0o777 == 0o700
    for file in EXPECTED - {"README", "SHA256SUMS"}:
        assert (top / file).read_bytes() == keyring.read(file), file
        assert (top / file).stat().st_mode & 0o777 == 0o600, file
    subprocess.run(
        ["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=top, check=True, timeout=30
    )


def test_age_itself_opens_it(keyring: Keyring, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    status, said = on_tty(
        ["age", "-d", "-o", str(place / "tar"), str(keyring.path("escrow.age"))],
        [ESCROW_PASS.encode()],
    )
    assert status == 0, said
    subprocess.run(["tar", "-xpf", "tar"], cwd=place, check=True, timeout=30)
    check_unpacked(keyring, place)


def test_openssl_itself_opens_it(keyring: Keyring, tmp_path: Path) -> None:
    """By the very words that stand on the sheet, the passphrase given by a descriptor."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    sheet = keyring.path("sheet.txt").read_text()
    at = sheet.index("    openssl enc")
    words = sheet[at : sheet.index(" | tar", at)].replace("\\\n", " ").split()
    words[words.index("-in") + 1] = str(keyring.path("escrow.tar.enc"))
    reader, writer = os.pipe()
    os.write(writer, ESCROW_PASS.encode() + b"\n")
    os.close(writer)
    done = subprocess.run(
        [*words, "-pass", f"fd:{reader}"],
        pass_fds=[reader],
        capture_output=True,
        timeout=30,
        check=False,
    )
    os.close(reader)
    assert done.returncode == 0, done.stderr
    subprocess.run(["tar", "-xpf", "-"], input=done.stdout, cwd=place, check=True, timeout=30)
    check_unpacked(keyring, place)


def test_a_bundle_put_back_is_a_keyring_again(keyring: Keyring, bench: Bench) -> None:
    tar = age.decrypt(keyring.read("escrow.age"), ESCROW_PASS.encode())
    other = bench.root.parent / "new machine"
    other.mkdir()
    subprocess.run(["tar", "-xpf", "-"], input=tar, cwd=other, check=True, timeout=30)
    again = Keyring.open(other, "knox")
    assert again.record == keyring.record
    assert escrow.contents(again) == escrow.contents(keyring)


def test_the_tar_is_the_same_for_the_same_keys(keyring: Keyring) -> None:
    first = escrow.pack(keyring)
    assert escrow.pack(Keyring.open(keyring.directory.parent, "knox")) == first
    one, two = age.encrypt(first, b"x" * 8, 4), age.encrypt(first, b"x" * 8, 4)
    assert one != two


def test_the_readme_says_how_and_no_secret(keyring: Keyring) -> None:
    text = escrow.contents(keyring)["README"].decode("ascii")
    for word in ("geli attach -p -k geli.key", "zpool import -N", "geli detach", "zfs send"):
        assert word in text
    assert keyring.read("geli.key").decode().strip() not in text


def test_written_again_it_is_opened_and_left(keyring: Keyring) -> None:
    before = keyring.read("escrow.age"), keyring.read("escrow.tar.enc")
    assert "opened again, both forms, and is equal" in ensure(keyring)
    assert (keyring.read("escrow.age"), keyring.read("escrow.tar.enc")) == before
    escrow.verify(keyring, SECRET)
    assert escrow.trouble(keyring) == ""


def test_a_changed_keyring_makes_it_stale(keyring: Keyring) -> None:
    keyring.write("revoked.spec", b"serial: 99\n")
    assert "older than the keys" in escrow.trouble(keyring)
    with pytest.raises(KeyringError, match=r"older than the keys: SHA256SUMS, revoked\.spec"):
        escrow.verify(keyring, SECRET)
    assert "Written anew, opened again and compared" in ensure(keyring)
    assert escrow.trouble(keyring) == ""


def test_a_wrong_passphrase_is_asked_for_again_and_changes_nothing(keyring: Keyring) -> None:
    wrong = Secret("escrow-passphrase", "another harbour")
    before = {file: keyring.read(file) for file in keyring.files()}
    keyring.write("revoked.spec", b"serial: 99\n")
    for act in (escrow.verify, ensure):
        with pytest.raises(MissingSecret) as caught:
            act(keyring, wrong)
        assert caught.value.wrong
        assert caught.value.name == "escrow-passphrase"
        assert "harbour" not in f"{caught.value.what} {caught.value.now} {caught.value!r}"
    keyring.write("revoked.spec", before["revoked.spec"])
    assert {file: keyring.read(file) for file in keyring.files()} == before


def test_a_new_passphrase_when_it_is_meant(keyring: Keyring) -> None:
    other = Secret("escrow-passphrase", "another harbour")
    assert "Written, opened again" in ensure(keyring, other, new_passphrase=True)
    escrow.verify(keyring, other)
    with pytest.raises(MissingSecret):
        escrow.verify(keyring, SECRET)


@pytest.mark.parametrize("passphrase", ["", "short", "x" * 513, "two\nlines of it", "a\0bcdefghi"])
def test_passphrases_that_cannot_be_typed_are_refused(keyring: Keyring, passphrase: str) -> None:
    with pytest.raises(KeyringError, match="will not do") as caught:
        ensure(keyring, Secret("escrow-passphrase", passphrase), new_passphrase=True)
    assert not passphrase or passphrase not in caught.value.what


def cut(data: bytes) -> bytes:
    return data[:-100]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def nothing(_data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("file", ["escrow.age", "escrow.tar.enc"])
@pytest.mark.parametrize("damage", [cut, flip, nothing])
def test_a_damaged_file_is_told_and_written_anew(
    keyring: Keyring, file: str, damage: Callable[[bytes], bytes]
) -> None:
    keyring.path(file).write_bytes(damage(keyring.read(file)))
    with pytest.raises(KeyringError, match="damaged") as caught:
        escrow.verify(keyring, SECRET)
    assert str(keyring.path(file)) in caught.value.what
    if damage is not nothing:
        assert file in escrow.trouble(keyring)
    assert "Written anew" in ensure(keyring)
    escrow.verify(keyring, SECRET)


def test_a_byte_changed_inside_the_openssl_form_is_told_by_the_sums(keyring: Keyring) -> None:
    """CBC does not notice it: every block of the file is tried."""
    sealed = keyring.read("escrow.tar.enc")
    for at in range(16, len(sealed), 16 * 64 + 5):
        broken = sealed[:at] + bytes([sealed[at] ^ 0x10]) + sealed[at + 1 :]
        try:
            tree = escrow.open_enc(broken, SECRET, ITER)
        except escrow.NotOpened:
            continue
        # Only what tar itself does not look at (its fill bytes) may change unseen.
        assert tree == escrow.contents(keyring)


def test_a_bundle_with_a_lie_in_it_is_not_believed() -> None:
    def packed(files: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.type = len(data), kind
                tar.addfile(member, io.BytesIO(data))
        return buffer.getvalue()

    good = {"a": b"1"}
    sums = f"{hashlib.sha256(b'1').hexdigest()}  a\n".encode()
    assert escrow.unpack(packed({"k/a": b"1", "k/SHA256SUMS": sums})) == {
        **good,
        "SHA256SUMS": sums,
    }
    for lie in (
        packed({"k/a": b"2", "k/SHA256SUMS": sums}),
        packed({"k/a": b"1", "k/b": b"", "k/SHA256SUMS": sums}),
        packed({"k/SHA256SUMS": sums}),
        packed({"k/a": b"1"}),
        packed({"k/a": b"1", "l/SHA256SUMS": sums}),
        packed({"k/../a": b"1", "k/SHA256SUMS": sums}),
        packed({"k/a": b"", "k/SHA256SUMS": b""}, tarfile.SYMTYPE),
        b"",
        b"x" * 2000,
    ):
        with pytest.raises(escrow.NotOpened):
            escrow.unpack(lie)


@pytest.mark.parametrize("which", ["escrow.age", "escrow.tar.enc", "escrow.json"])
def test_disk_full_leaves_the_old_bundle(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    keyring.write("revoked.spec", b"serial: 99\n")
    old = keyring.read(which)
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == which:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(KeyringError, match="No space left on device"):
        ensure(keyring)
    monkeypatch.undo()
    assert keyring.read(which) == old
    assert escrow.trouble(keyring) != ""
    # Where only the note could not be written, the bundle itself is found to be right.
    assert ("equal to the keys" if which == "escrow.json" else "Written anew") in ensure(keyring)
    assert escrow.trouble(keyring) == ""


def test_a_read_only_directory_is_told(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.write("revoked.spec", b"serial: 99\n")
    real = os.open

    def refuse(path: object, flags: int, *rest: int, **names: object) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *rest, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(KeyringError, match="Read-only file system") as caught:
        ensure(keyring)
    assert "directory writable" in caught.value.now


def test_what_was_written_wrongly_is_noticed_before_it_counts(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses a byte, or a fault of our own: the bundle is not noted as finished."""
    keyring.write("revoked.spec", b"serial: 99\n")
    note = keyring.read("escrow.json")
    monkeypatch.setattr(
        escrow.openssl_enc,
        "encrypt",
        lambda data, key, rounds: flip(openssl_enc_(data, key, rounds)),
    )
    with pytest.raises(KeyringError, match="damaged"):
        ensure(keyring)
    assert keyring.read("escrow.json") == note
    assert escrow.trouble(keyring) != ""


openssl_enc_ = openssl_enc.encrypt


def test_without_its_note_it_is_not_finished(keyring: Keyring) -> None:
    keyring.path("escrow.json").unlink()
    assert escrow.trouble(keyring) == "There is no finished escrow bundle."
    with pytest.raises(KeyringError, match="no finished escrow bundle"):
        escrow.verify(keyring, SECRET)
    keyring.path("escrow.json").write_bytes(b"{")
    keyring.path("escrow.json").chmod(0o600)
    with pytest.raises(KeyringError, match=r"escrow\.json is damaged"):
        escrow.trouble(keyring)

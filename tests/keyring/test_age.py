"""age's format, both ways with the real age, and openssl's with the real openssl."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.keyring.on_tty import on_tty
from zrwizard.keyring import age, openssl_enc

PASS = b"a quiet harbour wall"
WORK = 10
SIZES = [0, 1, 65535, 65536, 65537, 3 * 65536]


def test_age_is_installed() -> None:
    assert shutil.which("age")
    assert shutil.which("openssl")


@pytest.mark.parametrize("size", SIZES)
def test_the_real_age_opens_ours(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    sealed, opened = tmp_path / "x.age", tmp_path / "x"
    sealed.write_bytes(age.encrypt(data, PASS, WORK))
    status, said = on_tty(["age", "-d", "-o", str(opened), str(sealed)], [PASS])
    assert status == 0, said
    # It does not make a file where nothing is to be written.
    assert (opened.read_bytes() if opened.exists() else b"") == data
    assert opened.exists() == bool(data)


def test_the_real_age_tells_a_wrong_passphrase_and_a_changed_byte(tmp_path: Path) -> None:
    sealed = tmp_path / "x.age"
    sealed.write_bytes(age.encrypt(b"hello", PASS, WORK))
    status, said = on_tty(["age", "-d", "-o", str(tmp_path / "x"), str(sealed)], [b"another"])
    assert status != 0
    assert "incorrect passphrase" in said
    data = bytearray(sealed.read_bytes())
    data[-1] ^= 1
    sealed.write_bytes(data)
    status, _said = on_tty(["age", "-d", "-o", str(tmp_path / "x"), str(sealed)], [PASS])
    assert status != 0


@pytest.mark.parametrize("size", [0, 65536, 70000])
def test_ours_opens_the_real_ages(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    plain, sealed = tmp_path / "x", tmp_path / "x.age"
    plain.write_bytes(data)
    status, said = on_tty(["age", "-p", "-o", str(sealed), str(plain)], [PASS, PASS])
    assert status == 0, said
    assert age.decrypt(sealed.read_bytes(), PASS) == data


def test_the_default_work_factor_is_ages_own() -> None:
    assert age.encrypt(b"", PASS).split(b"\n")[1].split()[-1] == b"18"


def test_wrong_passphrase() -> None:
    sealed = age.encrypt(b"hello", PASS, WORK)
    with pytest.raises(age.WrongPassphrase):
        age.decrypt(sealed, PASS + b" ")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_every_changed_byte_is_noticed(at: int, change: int) -> None:
    sealed = bytearray(SEALED)
    sealed[at % len(sealed)] ^= change
    with pytest.raises(age.AgeError):
        age.decrypt(bytes(sealed), PASS)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_every_cut_is_noticed(at: int) -> None:
    with pytest.raises(age.AgeError):
        age.decrypt(SEALED[: at % len(SEALED)], PASS)


SEALED = age.encrypt(bytes(70_000), PASS, 4)


def test_chunks_dropped_doubled_or_swapped_are_noticed() -> None:
    data = bytes(3 * age.CHUNK)
    sealed = age.encrypt(data, PASS, 4)
    start, size = len(sealed) - 3 * (age.CHUNK + 16), age.CHUNK + 16
    head = sealed[:start]
    one, two, three = (sealed[start + n * size : start + (n + 1) * size] for n in range(3))
    assert age.decrypt(head + one + two + three, PASS) == data
    for parts in ([one, three], [one, two], [two, one, three], [one, two, three, three], [three]):
        with pytest.raises(age.Damaged):
            age.decrypt(head + b"".join(parts), PASS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"age-encryption.org/v1", b"age-encryption.org/v2"),
        (b"-> scrypt", b"-> X25519"),
        (b" 4\n", b" 04\n"),
        (b" 4\n", b" 63\n"),
        (b"--- ", b"---- "),
        (b"\n---", b"\n-> grease a\n\n---"),
    ],
)
def test_headers_that_the_format_forbids(old: bytes, new: bytes) -> None:
    assert old in SEALED[:300]
    with pytest.raises(age.Damaged):
        age.decrypt(SEALED.replace(old, new, 1), PASS)


def test_base64_must_be_canonical() -> None:
    header, rest = SEALED.split(b"\n---", 1)
    last = header[-1:]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(last) ^ 1 : (alphabet.index(last) ^ 1) + 1]
    with pytest.raises(age.Damaged):
        age.decrypt(header[:-1] + other + b"\n---" + rest, PASS)


# --- openssl --------------------------------------------------------------------------------------

ENC = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-md", "sha256", "-iter", "1000"]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_the_real_openssl_opens_ours(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "x").write_bytes(openssl_enc.encrypt(data, PASS, 1000))
    done = subprocess.run(
        [*ENC, "-d", "-in", str(tmp_path / "x"), "-pass", "stdin"],
        input=PASS + b"\n",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_ours_opens_the_real_openssls(tmp_path: Path) -> None:
    data = os.urandom(5000)
    (tmp_path / "plain").write_bytes(data)
    done = subprocess.run(
        [*ENC, "-salt", "-in", str(tmp_path / "plain"), "-pass", "stdin"],
        input=PASS + b"\n",
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert openssl_enc.decrypt(done.stdout, PASS, 1000) == data


def test_openssl_form_that_cannot_be_opened() -> None:
    sealed = openssl_enc.encrypt(b"x" * 100, PASS, 1000)
    for broken in (b"", b"Salted__", sealed[:-1], sealed[:16], b"salted__" + sealed[8:]):
        with pytest.raises(openssl_enc.EncError):
            openssl_enc.decrypt(broken, PASS, 1000)
    for number in range(8):
        # Once in some 256 times padding looks right by chance: then what comes out is noise.
        with contextlib.suppress(openssl_enc.EncError):
            assert openssl_enc.decrypt(sealed, b"another %d" % number, 1000) != b"x" * 100

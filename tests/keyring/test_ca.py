"""Keys and certificates, read by the real ssh-keygen."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.keyring import ca
from zrwizard.keyring.ca import KeyFormatError, Terms, WrongPassphrase

PASS = b"three tame otters"
NOW = 1_790_000_000
AUTHORITY = ca.make_key(PASS, "knox-ca", rounds=1)
KEY = ca.make_key(None, "knox-deliver")
TERMS = Terms(7, "knox-deliver", ("root",), NOW - ca.EARLY, NOW + 730 * ca.DAY)


def sign(command: str = "", terms: Terms = TERMS) -> str:
    authority = ca.open_key(AUTHORITY.private, PASS)
    return ca.user_certificate(authority, ca.open_public(KEY.public), terms, command)


def keygen(*argv: str) -> str:
    done = subprocess.run(
        ["ssh-keygen", *argv],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )
    return done.stdout


def file(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


def test_ssh_keygen_reads_an_unprotected_key(tmp_path: Path) -> None:
    key = file(tmp_path / "k", KEY.private)
    assert keygen("-y", "-f", key).split()[:2] == KEY.public.split()[:2]
    assert KEY.public.endswith(" knox-deliver\n")


def test_ssh_keygen_asks_for_the_passphrase(tmp_path: Path) -> None:
    key = file(tmp_path / "k", AUTHORITY.private)
    with pexpect.spawn("ssh-keygen", ["-y", "-f", key], timeout=30) as child:
        child.expect("Enter passphrase")
        child.sendline(PASS)
        child.expect(re.escape(AUTHORITY.public.split()[1]))
        child.expect(pexpect.EOF)
    assert child.exitstatus == 0
    with pexpect.spawn("ssh-keygen", ["-y", "-f", key], timeout=30) as child:
        child.expect("Enter passphrase")
        child.sendline(b"another")
        child.expect("incorrect passphrase")


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    said = keygen("-l", "-f", file(tmp_path / "k.pub", KEY.public.encode()))
    assert said.split()[1] == ca.fingerprint(ca.open_public(KEY.public))


def test_our_own_reading_of_a_key_that_ssh_keygen_made(tmp_path: Path) -> None:
    keygen("-q", "-t", "ed25519", "-a", "1", "-N", "otters", "-C", "", "-f", str(tmp_path / "k"))
    private, line = (tmp_path / "k").read_bytes(), (tmp_path / "k.pub").read_text()
    assert ca.is_protected(private)
    assert ca.public_line(ca.public_of(private), "") == line.rstrip() + "\n"
    opened = ca.open_key(private, b"otters").public_key()
    assert ca.public_line(opened, "") == line.rstrip() + "\n"


def test_a_passphrase_that_does_not_open() -> None:
    with pytest.raises(WrongPassphrase):
        ca.open_key(AUTHORITY.private, b"another")
    with pytest.raises(WrongPassphrase):
        ca.open_key(AUTHORITY.private, None)
    assert ca.open_key(KEY.private, b"not needed")


def test_the_private_half_is_not_shown() -> None:
    assert KEY.private.decode().split("\n")[2] not in repr(KEY)
    assert "PRIVATE" not in repr(KEY)


def test_a_single_purpose_certificate(tmp_path: Path) -> None:
    line = sign("/usr/local/libexec/zr-receiver knox deliver")
    said = keygen("-L", "-f", file(tmp_path / "c-cert.pub", line.encode()))
    rows = [row.strip() for row in said.splitlines()]
    assert "Type: ssh-ed25519-cert-v01@openssh.com user certificate" in rows
    assert f"Public key: ED25519-CERT {ca.fingerprint(ca.open_public(KEY.public))}" in rows
    signing = f"Signing CA: ED25519 {ca.fingerprint(ca.open_public(AUTHORITY.public))}"
    assert f"{signing} (using ssh-ed25519)" in rows
    assert 'Key ID: "knox-deliver"' in rows
    assert "Serial: 7" in rows
    assert "Valid: from 2026-09-21T14:08:20 to 2028-09-20T14:13:20" in rows
    assert rows[rows.index("Principals:") + 1] == "root"
    options = rows.index("Critical Options:")
    assert rows[options + 1] == "force-command /usr/local/libexec/zr-receiver knox deliver"
    assert rows[options + 2] == "Extensions: (none)"


def test_a_login_certificate_may_have_a_terminal_only(tmp_path: Path) -> None:
    said = keygen("-L", "-f", file(tmp_path / "c-cert.pub", sign().encode()))
    rows = [row.strip() for row in said.splitlines() if row.strip()]
    assert "Critical Options: (none)" in rows
    assert rows[rows.index("Extensions:") + 1 :] == ["permit-pty"]


def test_a_host_certificate(tmp_path: Path) -> None:
    terms = Terms(8, "knox-host", ("knox", "192.0.2.20"), 5, 500)
    authority = ca.open_key(AUTHORITY.private, PASS)
    line = ca.host_certificate(authority, ca.open_public(KEY.public), terms)
    said = keygen("-L", "-f", file(tmp_path / "c-cert.pub", line.encode()))
    assert "host certificate" in said
    rows = [row.strip() for row in said.splitlines()]
    at = rows.index("Principals:")
    assert rows[at + 1 : at + 3] == ["knox", "192.0.2.20"]


def test_what_was_issued_is_read_again() -> None:
    found = ca.read_certificate(sign("x y"))
    assert found == ca.Certificate(
        host=False,
        serial=7,
        identity="knox-deliver",
        principals=("root",),
        after=TERMS.after,
        before=TERMS.before,
        options=(("force-command", "x y"),),
        extensions=(),
        fingerprint=ca.fingerprint(ca.open_public(KEY.public)),
        authority=ca.fingerprint(ca.open_public(AUTHORITY.public)),
    )


@pytest.mark.parametrize(
    "terms",
    [
        {"serial": 0},
        {"serial": 1 << 64},
        {"principals": ()},
        {"principals": ("",)},
        {"after": NOW, "before": NOW},
        {"after": -1},
    ],
)
def test_a_certificate_for_everybody_or_for_never_is_not_made(terms: dict[str, object]) -> None:
    good = {"serial": 1, "identity": "x", "principals": ("root",), "after": 1, "before": 2}
    with pytest.raises(ValueError, match="a certificate needs"):
        Terms(**{**good, **terms})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    ["", "ssh-ed25519", KEY.public, "ssh-rsa AAAA", "a b\nc d"],
    ids=["empty", "one word", "key", "rsa", "two lines"],
)
def test_what_is_no_certificate(line: str) -> None:
    with pytest.raises(KeyFormatError):
        ca.read_certificate(line)


def test_a_changed_certificate_is_noticed() -> None:
    kind, body, comment = sign().split()
    for at in (60, 150, len(body) - 20):
        changed = body[:at] + ("A" if body[at] != "A" else "B") + body[at + 1 :]
        with pytest.raises(KeyFormatError):
            ca.read_certificate(f"{kind} {changed} {comment}")


@given(st.binary(max_size=300))
def test_any_bytes_raise_our_own_error_only(data: bytes) -> None:
    for text in (data, b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + data + b"\n-----END OPENSSH"):
        with pytest.raises((KeyFormatError, WrongPassphrase)):
            ca.open_key(text, PASS)
    with pytest.raises(KeyFormatError):
        ca.open_public(data.decode("latin-1"))
    with pytest.raises(KeyFormatError):
        ca.read_certificate(data.decode("latin-1"))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_in_a_key_raises_our_own_errors_only(at: int, change: int) -> None:
    data = bytearray(AUTHORITY.private)
    data[at % len(data)] ^= change
    for use in (ca.public_of, ca.is_protected, lambda flipped: ca.open_key(flipped, PASS)):
        with contextlib.suppress(KeyFormatError, WrongPassphrase):
            assert use(bytes(data)) is not None

"""The sheet: what is on it, how it is printed, and that no secret is."""

from __future__ import annotations

import subprocess

import pytest

from tests.keyring.bench import METADATA, SERIAL, SIZE, Bench
from zrwizard.cksum import cksum
from zrwizard.keyring import ca, hand, sheet
from zrwizard.keyring.store import Keyring


@pytest.fixture
def keyring(bench: Bench) -> Keyring:
    return bench.everything()


def read(keyring: Keyring) -> str:
    return keyring.path("sheet.txt").read_text()


def test_what_is_on_it(keyring: Keyring) -> None:
    text = read(keyring)
    flat = " ".join(text.replace("\\\n", " ").split())
    for file in ("host.pub", "ca.pub", "login.pub", "deliver.pub", "receive.pub"):
        assert ca.fingerprint(ca.open_public(keyring.text(file))) in text
    assert f"cksum {cksum(METADATA)} {len(METADATA)}" in text
    assert SERIAL in text
    assert str(SIZE) in text
    for row in ("1 host 2036-09-18", "2 login 2028-09-20", "4 receive 2028-09-20"):
        assert row in flat
    for command in (
        "geli attach -p -k - /dev/DISK",
        "zpool import -N -o cachefile=none backup",
        "zfs list -r -t filesystem,volume,snapshot",
        "zfs send -R backup/DATASET@SNAPSHOT",
        "zpool export backup",
        "geli detach /dev/DISK.eli",
        "age -d escrow.age | tar -xpf -",
        "openssl enc -d -aes-256-cbc -pbkdf2 -md sha256 -iter 1000 -in escrow.tar.enc",
        "knox-deliver key < geli.key",
        "zrwizard keys revoke knox SERIAL",
    ):
        assert command in flat, command
    for word in ("The bundle lost", "The bundle's passphrase lost", "BIOS: power on after power"):
        assert word in flat


def test_it_fits_on_paper(keyring: Keyring) -> None:
    pages = read(keyring).split("\f")
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        rows = page.splitlines()
        assert rows[0].endswith(f"page {number} of {len(pages)}")
        assert len(rows) <= 60
        assert page.isascii()
        long = [row for row in rows if len(row) > 80]
        # Only a directory of this test may be too long for any line.
        assert all(str(keyring.directory) in row for row in long), long


def test_no_secret_is_on_it(keyring: Keyring) -> None:
    text = read(keyring)
    for file in ("geli.key", "ca", "login", "deliver", "receive"):
        for row in keyring.read(file).decode().splitlines():
            assert not row or row.startswith("-----") or row not in text.split(), file
    assert keyring.read("geli.key").decode().strip()[:32] not in text
    assert "otters" not in text
    assert "harbour" not in text


def test_it_changes_when_something_did(keyring: Keyring, bench: Bench) -> None:
    before = read(keyring)
    bench.do("sheet", "knox", "BIOS: power on after power loss", "Router: 2222 -> knox:22")
    assert read(keyring) == before
    bench.do("sheet", "knox", "another line")
    assert "another line" in read(keyring)
    assert "Router" not in read(keyring)


def test_before_there_are_certificates(bench: Bench) -> None:
    bench.make()
    bench.do("sheet", "knox")
    text = read(bench.keyring())
    assert "None was issued yet." in text
    assert "geli attach -p -k geli.key /dev/DISK" in text
    assert "ssh -F" not in text


def test_a_plain_server_on_a_partition(bench: Bench) -> None:
    bench.do("keys", "knox", "plain", "S1", "1000", "knox0")
    bench.fetched()
    bench.keyring().path("geli.metadata").unlink()
    bench.certify(port=2223)
    bench.do("sheet", "knox", "ümläut ↔ line")
    text = read(bench.keyring())
    assert "geli" not in text
    assert "not encrypted" in text
    assert "/dev/gpt/knox0" in text
    assert "ümläut ↔ line" in text
    assert "knox-deliver" not in text


def test_long_lines_from_the_flow(bench: Bench) -> None:
    bench.make()
    words = "word " * 60
    bench.do("sheet", "knox", words, "    " + "command " * 30, "x" * 200)
    rows = read(bench.keyring()).splitlines()
    assert max(len(row) for row in rows if "/" not in row) <= 80
    assert read(bench.keyring()).count("word") >= 60
    at = next(number for number, row in enumerate(rows) if row.startswith("    command"))
    assert rows[at].endswith(" \\")
    assert rows[at + 1].startswith("      command")


def test_many_lines_take_more_pages(bench: Bench) -> None:
    bench.make()
    bench.do("sheet", "knox", *[f"line {number}" for number in range(200)])
    pages = read(bench.keyring()).split("\f")
    assert all(len(page.splitlines()) <= 60 for page in pages)
    flat = " ".join(read(bench.keyring()).split())
    assert all(f"line {number} " in flat + " " for number in range(200))


@pytest.mark.parametrize("shape", ["vault", "plain"])
def test_every_command_of_it_is_sh(bench: Bench, shape: str) -> None:
    bench.make(shape)
    bench.fetched()
    bench.certify()
    record = bench.keyring().record
    commands = []
    for section in [*hand.sections(record), hand.opening(record, 5)]:
        lines = [line for line in section.lines if line.startswith("    ")]
        commands += "\n".join(lines).replace("\\\n", " ").splitlines()
    assert len(commands) > 8
    for command in commands:
        checked = subprocess.run(
            ["dash", "-n"], input=command, text=True, capture_output=True, timeout=30, check=False
        )
        assert checked.returncode == 0, (command, checked.stderr)


def test_it_is_the_same_text_twice(keyring: Keyring) -> None:
    assert sheet.text(keyring) == sheet.text(keyring) == read(keyring)

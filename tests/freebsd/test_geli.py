"""geli: what is typed, what it says, and that a key never stands in a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shlint import parses
from zrwizard.freebsd import ParseError, geli
from zrwizard.run.translate import translate

SALT = "5a" * 64
MASTER = "c3" * 384
DUMP = f"""Metadata on da0:
     magic: GEOM::ELI
   version: 7
     flags: 0x0
     ealgo: AES-XTS
    keylen: 256
  provsize: 2000398934016
sectorsize: 4096
      keys: 0x01
iterations: -1
      Salt: {SALT}
Master Key: {MASTER}
  MD5 hash: 0123456789abcdef0123456789abcdef

"""


def test_commands_take_the_key_from_standard_input() -> None:
    assert geli.init("da0") == "geli init -s 4096 -l 256 -P -K - -B none da0"
    assert geli.attach("da0") == "geli attach -p -k - da0"
    assert geli.try_key("da0") == "geli attach -C -p -k - da0"
    assert geli.detach("da0") == "geli detach da0"
    assert geli.detach("da0", force=True) == "geli detach -f da0"
    assert geli.backup("da0", "/tmp/zr/m") == "geli backup da0 /tmp/zr/m"
    assert geli.restore("da0", "/tmp/zr/m") == "geli restore /tmp/zr/m da0"


def test_dump_is_read_without_its_keys() -> None:
    found = geli.parse_dump(DUMP)
    assert found == geli.Metadata(
        "da0", 7, 0, "AES-XTS", 256, 2000398934016, 4096, keys=1, iterations=-1
    )
    assert found.keyfile_only
    assert MASTER[:32] not in repr(found)
    assert SALT[:32] not in repr(found)


def test_iterations_without_a_sign_are_none_too() -> None:
    found = geli.parse_dump(DUMP.replace("iterations: -1", "iterations: 4294967295"))
    assert found.keyfile_only
    assert not geli.parse_dump(DUMP.replace("iterations: -1", "iterations: 81920")).keyfile_only


def test_what_dump_types_leaves_salt_and_master_key_out(tmp_path: Path) -> None:
    tool = tmp_path / "geli"
    tool.write_text(f"#!/bin/sh\ncat <<'E'\n{DUMP}E\n")
    tool.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", geli.dump("da0")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert geli.parse_dump(done.stdout) == geli.parse_dump(DUMP)
    assert SALT not in done.stdout
    assert MASTER not in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "geli: Cannot read metadata from da0: Invalid argument.",
        DUMP.replace("GEOM::ELI", "GEOM::JOURNAL"),
        DUMP.replace("    keylen: 256\n", ""),
        DUMP.replace("0x01", "one"),
        DUMP.replace("keylen: 256", "keylen 256"),
    ],
)
def test_dump_that_is_none(text: str) -> None:
    with pytest.raises(ParseError):
        geli.parse_dump(text)


LAST = "geli: There was an error with at least one provider.\n"
COMPLAINTS = [
    ("geli: Wrong key for da0.\n" + LAST, "wrong key", "da0"),
    ("geli: Cannot read metadata from da0: Invalid argument.\n" + LAST, "not geli", "da0"),
    (
        "geli: Cannot read metadata from /dev/da9: No such file or directory.\n" + LAST,
        "no provider",
        "/dev/da9",
    ),
    ("geli: Cannot read metadata from da0: Device not configured.\n", "unreadable", "da0"),
    ("geli: Provider size mismatch.\n" + LAST, "size changed", "geli resize"),
    ("geli: Provider size mismatch: wrong backup file?\n", "wrong backup", "another size"),
    ("geli: Cannot access da0 (error=1).\n" + LAST, "attached", "attached already"),
    ("geli: Cannot access da0 (error=5).\n" + LAST, "no access", "error 5"),
    ("geli: Cannot destroy device da0.eli (error=16).\n", "open", "da0.eli"),
    ("geli: No such device: da0.\n", "not attached", "da0"),
    ("geli: Missing -p flag.\n" + LAST, "missing -p", "-p"),
    ("geli: No key components given.\n" + LAST, "no key", "No key"),
    ("geli: Options -j and -p are mutually exclusive.\n", "both", "-j"),
    (
        "geli: Cannot open keyfile /tmp/k: No such file or directory.\n" + LAST,
        "no keyfile",
        "/tmp/k",
    ),
    (
        "geli: This is the last Master Key. Use '-f' option if you really want to remove it.\n",
        "last key",
        "last key",
    ),
    ("geli: No valid keys on da0.\n" + LAST, "killed", "da0"),
    ("geli: Cannot lock memory: Resource temporarily unavailable.\n", "memory", "swap"),
    (
        "geli: Unable to open /var/backups/da0.eli: Read-only file system.\n" + LAST,
        "backup failed",
        "/var/backups/da0.eli",
    ),
]


@pytest.mark.parametrize(("stderr", "kind", "part"), COMPLAINTS)
def test_complaints(stderr: str, kind: str, part: str) -> None:
    found = geli.explain(stderr)
    assert found is not None
    assert found.kind == kind
    assert part in f"{found.what} {found.now}"
    assert found.now
    assert found == geli.explain(stderr.replace("\n", "\r\n"))


def test_complaints_reach_the_run() -> None:
    told = translate(geli.attach("da0"), "geli: Wrong key for da0.\n" + LAST)
    assert told is not None
    assert told.kind == "wrong key"


def test_the_last_line_alone_explains_nothing() -> None:
    assert geli.explain(LAST) is None
    assert geli.explain("") is None


@given(provider=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(max_examples=30, deadline=None)
def test_any_provider_is_quoted(provider: str) -> None:
    for text in (
        geli.init(provider),
        geli.attach(provider),
        geli.dump(provider),
        geli.backup(provider, provider),
    ):
        assert parses(text)

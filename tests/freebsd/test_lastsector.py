"""The last sectors of disks: a real sh and dd on files that stand for devices."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from zrwizard.freebsd import ParseError, lastsector
from zrwizard.freebsd.lastsector import Metadata

SHELLS = [kind for kind in ("dash", "bash", "busybox") if shutil.which(kind)]
SECTORS = 100
MIRROR = struct.pack("<16sI16s", b"GEOM::MIRROR", 4, b"swap") + b"\xff" * 400
LABEL = struct.pack("<16sI64s", b"GEOM::LABEL", 2, b"my disk") + b"\0" * 400
ELI = struct.pack("<16sIIH", b"GEOM::ELI", 7, 0x82, 22) + b"\xc3\x28" * 200
RAID = struct.pack("<16sI16s", b"GEOM::RAID3", 4, b"r") + b"\0" * 400
# /dev/NAME is NAME in this directory; dd's own words about it are FreeBSD's.
DD = """#!/bin/sh
n=$#
while [ "$n" -gt 0 ]; do
  case $1 in
  if=/dev/vtbd*) set -- "$@" "if=HERE/${1#if=/dev/}" ;;
  of=/dev/vtbd*) set -- "$@" "of=HERE/${1#of=/dev/}" conv=notrunc ;;
  *) set -- "$@" "$1" ;;
  esac
  shift; n=$((n - 1))
done
[ ! -e HERE/busy ] || case "$*" in *of=*) echo 'dd: /dev/vtbd0: Operation not permitted' >&2; exit 1 ;; esac
exec /bin/dd "$@"
"""  # noqa: E501
DISKINFO = """#!/bin/sh
[ -e "HERE/${1#/dev/}" ] || { echo "diskinfo: $1: No such file or directory" >&2; exit 1; }
printf '%s\\t512\\t51200\\t100\\t0\\t0\\n' "${1#/dev/}"
"""


class Disks:
    """Devices, and a shell that looks at them."""

    def __init__(self, where: Path, kind: str) -> None:
        self.where, self.kind = where, kind
        for name, text in (("dd", DD), ("diskinfo", DISKINFO)):
            path = where / name
            path.write_text(text.replace("HERE", str(where)))
            path.chmod(0o755)

    def put(self, name: str, last: bytes) -> None:
        head = b"\xa5" * (512 * (SECTORS - 1))
        (self.where / name).write_bytes(head + last[:512].ljust(512, b"\0"))

    def last(self, name: str) -> bytes:
        data = (self.where / name).read_bytes()
        assert data[:-512] == b"\xa5" * (512 * (SECTORS - 1)), "more than the last was written"
        return data[-512:]

    def run(self, text: str) -> tuple[int, str, str]:
        argv = [self.kind, "sh", "-c", text] if self.kind == "busybox" else [self.kind, "-c", text]
        done = subprocess.run(
            argv,
            env={"PATH": f"{self.where}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def found(self, name: str) -> tuple[Metadata, ...]:
        status, out, err = self.run(lastsector.search(name))
        assert (status, err) == (0, "")
        return lastsector.parse(out)


@pytest.fixture(params=SHELLS)
def disks(tmp_path: Path, request: pytest.FixtureRequest) -> Disks:
    return Disks(tmp_path, request.param)


@pytest.mark.parametrize(
    ("sector", "tool", "name"),
    [
        pytest.param(MIRROR, "gmirror", "swap", id="mirror"),
        pytest.param(LABEL, "glabel", "my disk", id="label"),
        pytest.param(ELI, "geli", "", id="geli"),
        pytest.param(RAID, "graid3", "r", id="raid3"),
        pytest.param(b"GEOM::VIRSTOR\0\0\0", "GEOM virstor", "", id="another"),
    ],
)
def test_what_a_class_wrote_is_found_and_wiped(
    disks: Disks, sector: bytes, tool: str, name: str
) -> None:
    disks.put("vtbd0p3", sector)
    assert disks.found("vtbd0p3") == (Metadata("vtbd0p3", tool, name),)
    assert disks.run(lastsector.is_clean("vtbd0p3"))[0] == 1
    assert disks.run(lastsector.wipe("vtbd0p3")) == (0, "", "")
    assert disks.last("vtbd0p3") == bytes(512)
    assert disks.run(lastsector.is_clean("vtbd0p3")) == (0, "", "")
    assert disks.found("vtbd0p3") == ()


@pytest.mark.parametrize(
    "sector",
    [
        pytest.param(b"", id="zeros"),
        pytest.param(b"EFI PART\0\0\1\0", id="gpt"),
        pytest.param(b"\xff" * 512, id="ones"),
        pytest.param(b"GEOM:", id="half"),
        pytest.param(b"\nGEOM::ELI", id="later"),
    ],
)
def test_what_is_none_is_not_found(disks: Disks, sector: bytes) -> None:
    disks.put("vtbd0", sector)
    assert disks.found("vtbd0") == ()
    assert disks.run(lastsector.is_clean("vtbd0"))[0] == 0


def test_a_disk_that_is_not_there_is_not_clean(disks: Disks) -> None:
    assert disks.found("vtbd1") == ()
    assert disks.run(lastsector.is_clean("vtbd1"))[0] == 1
    assert disks.run(lastsector.wipe("vtbd1"))[0] == 1


def test_a_disk_in_use_is_not_wiped(disks: Disks) -> None:
    disks.put("vtbd0", MIRROR)
    (disks.where / "busy").touch()
    status, _, err = disks.run(lastsector.wipe("vtbd0"))
    assert (status, err) == (1, "dd: /dev/vtbd0: Operation not permitted\n")
    assert disks.last("vtbd0")[:12] == b"GEOM::MIRROR"


def test_what_it_means() -> None:
    assert Metadata("ada0", "gmirror", "gm0").meaning == "ada0 is a part of the gmirror gm0"
    assert Metadata("ada0", "gjournal").meaning == "ada0 is a part of the gjournal"
    assert "encrypted with geli" in Metadata("ada0p4", "geli").meaning


def test_noise_is_no_answer() -> None:
    with pytest.raises(ParseError):
        lastsector.parse("ugen0.2: <WD> at usbus0\n")

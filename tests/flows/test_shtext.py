"""The little sh texts, run by dash (and bash) against tools that are functions."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from tests.flows.world import target
from zrwizard.facts import DiskFacts
from zrwizard.flows import shtext
from zrwizard.flows.ask_disk import identity
from zrwizard.freebsd.gpart import Entry

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
ROWS = (
    Entry(1, "freebsd-boot", 40, 1024, "gptboot0"),
    Entry(2, "efi", 2048, 532480, "efiboot0"),
    Entry(3, "freebsd-swap", 534528, 1048576, "swap0"),
    Entry(4, "freebsd-zfs", 1583104, 6803456, "zfs0"),
)
# Recorded, with the alignment and the blanks that gpart prints.
BACKUP = """\
GPT 128
1   freebsd-boot      40    1024 gptboot0 
2            efi    2048  532480 efiboot0 
3   freebsd-swap  534528 1048576 swap0 
4    freebsd-zfs 1583104 6803456 zfs0 
"""
SHIM = """\
GPT 128
1   freebsd-boot        40      1024 gptboot0 
4    freebsd-zfs   1583104   6803456 zfs0 bootme
"""
STATUS = """\
  pool: {pool}
 state: ONLINE
config:

\tNAME             STATE     READ WRITE CKSUM
\t{pool}            ONLINE       0     0     0
\t  {device}  ONLINE       0     0     0

errors: No known data errors
"""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(shell: str, text: str, **tools: str) -> tuple[int, str]:
    """Status and stderr of `text`; `tools` are functions by name, their bodies sh text."""
    functions = "\n".join(f"{name}() {{\n{body}\n}}" for name, body in tools.items())
    done = subprocess.run(
        [shell, "-c", f"{functions}\n(\n{text}\n)"], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def says(output: str) -> str:
    return f"cat <<'EOF'\n{output}EOF"


NO_TABLE = "echo 'gpart: No such geom: vtbd0.' >&2; return 1"


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (says(BACKUP), 0),
        (says(SHIM), 0),
        (says("GPT 128\n"), 0),
        (NO_TABLE, 0),
        (says(BACKUP.replace("6803456", "6803448")), 1),
        (says(BACKUP.replace("swap0", "swap1")), 1),
        (says(BACKUP + "5   linux-data 8386560 8 x \n"), 1),
        (says("MBR 4\n1 freebsd 63 1000 \n"), 1),
    ],
)
def test_only_rows(shell: str, output: str, status: int) -> None:
    found, errors = run(shell, shtext.only_rows("vtbd0", ROWS), gpart=output)
    assert found == status
    assert bool(errors.strip()) == bool(status) or output == NO_TABLE
    if status:
        assert "vtbd0 holds a row that this plan does not make" in errors


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (BACKUP, 0),
        (SHIM, 0),
        (BACKUP.replace("zfs0", "zfs00"), 1),
        (BACKUP.replace("6803456", "16803456"), 1),
        (BACKUP.replace("4    freebsd", "14    freebsd"), 1),
        ("GPT 128\n", 1),
    ],
)
def test_has_row(shell: str, output: str, status: int) -> None:
    found, _ = run(shell, shtext.has_row("vtbd0", ROWS[3]), gpart=says(output))
    assert found == status


def disk_facts(name: str = "vtbd0", machine: str = "used") -> DiskFacts:
    return next(disk for disk in target(machine).disks if disk.name == name)


@pytest.mark.parametrize(
    ("pool", "device", "but", "status"),
    [
        ("zroot", "/dev/gpt/zfs0", None, 1),
        ("zroot", "/dev/gpt/zfs0", "zroot", 0),
        ("zroot", "/dev/vtbd0p4", None, 1),
        ("zroot", "/dev/vtbd0", None, 1),
        ("zroot", "/dev/vtbd0.eli", None, 1),
        ("zroot", "/dev/vtbd0p4.eli", None, 1),
        ("zroot", "/dev/diskid/DISK-ZRDISK0001p4", None, 1),
        ("tank", "/dev/gpt/zfs0", "zroot", 1),
        ("tank", "/dev/vtbd1p4", None, 0),
        ("tank", "/dev/vtbd01", None, 0),
        ("tank", "/dev/gpt/zfs00", None, 0),
    ],
)
def test_in_no_other_pool(shell: str, pool: str, device: str, but: str | None, status: int) -> None:
    text = shtext.in_no_other_pool(disk_facts(), ("new0",), but)
    found, errors = run(shell, text, zpool=says(STATUS.format(pool=pool, device=device)))
    assert found == status
    assert (f"{device} belongs to the imported pool {pool}." in errors) == bool(status)


def test_in_no_pool_at_all(shell: str) -> None:
    text = shtext.in_no_other_pool(disk_facts(), ())
    assert run(shell, text, zpool="echo 'no pools available' >&2")[0] == 0


DISKINFO = """\
case "$*" in
  vtbd0) printf 'vtbd0\\t512\\t%s\\t8388608\\t0\\t0\\t8322\\t16\\t63\\n' "{size}" ;;
  '-s vtbd0') echo '{serial}' ;;
  *) return 1 ;;
esac"""


@pytest.mark.parametrize(
    ("size", "serial", "says"),
    [
        ("4294967296", "ZRDISK0001", ""),
        ("8589934592", "ZRDISK0001", "vtbd0 has 8589934592 bytes, not 4294967296."),
        ("4294967296", "ZRDISK0002", "vtbd0 has the serial number ZRDISK0002, not ZRDISK0001."),
        ("4294967296", "", "vtbd0 has the serial number (none), not ZRDISK0001."),
    ],
)
def test_is_disk(shell: str, size: str, serial: str, says: str) -> None:
    text = shtext.is_disk(identity(disk_facts()))
    status, errors = run(shell, text, diskinfo=DISKINFO.format(size=size, serial=serial))
    assert status == (1 if says else 0)
    assert errors.strip() == says


def test_disk_that_is_gone_is_refused(shell: str) -> None:
    text = shtext.is_disk(identity(disk_facts()))
    status, errors = run(shell, text, diskinfo="echo 'diskinfo: vtbd0: No such file' >&2; return 1")
    assert status == 1
    assert "vtbd0 has no bytes" in errors


def test_serial_numbers_with_odd_characters_are_quoted(shell: str) -> None:
    disk = disk_facts()
    odd = replace(disk, disk=replace(disk.disk, ident="A'B $(x) \"%s\\n"))
    text = shtext.is_disk(identity(odd))
    body = DISKINFO.replace("echo '{serial}'", "printf '%s\\n' \"$SERIAL\"").format(size=4294967296)
    done = subprocess.run(
        [shell, "-c", f"diskinfo() {{\n{body}\n}}\n(\n{text}\n)"],
        env={"SERIAL": "A'B $(x) \"%s\\n", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_contents_are_compared(shell: str) -> None:
    seen = identity(disk_facts())
    text = shtext.holds_what_was_seen(seen)
    assert run(shell, text, gpart=says(BACKUP))[0] == 0
    status, errors = run(shell, text, gpart=says(SHIM))
    assert status == 1
    assert "another partition table than at the time of the review" in errors
    assert run(shell, shtext.has_changed(seen), gpart=says(SHIM))[0] == 0
    assert run(shell, shtext.has_changed(seen), gpart=says(BACKUP))[0] == 1
    blank = identity(disk_facts(machine="blank"))
    assert run(shell, shtext.holds_what_was_seen(blank), gpart=NO_TABLE)[0] == 0


def test_pool_of_this_run_is_found_by_its_comment(shell: str) -> None:
    listing = """\
   pool: zroot
     id: 111
  state: ONLINE
 action: The pool can be imported using its name or numeric identifier.
 config:

\tzroot       ONLINE
\t  gpt/zfs1  ONLINE

   pool: zroot
     id: 222
  state: ONLINE
 action: The pool can be imported using its name or numeric identifier.
comment: zrwizard-0123456789ab
 config:

\tzroot       ONLINE
\t  gpt/zfs0  ONLINE
"""
    functions = f'timeout() {{ shift; "$@"; }}\nzpool() {{\n{says(listing)}\n}}'
    done = subprocess.run(
        [shell, "-c", f"{functions}\n{shtext.scan_for_ours('0123456789ab')}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "222\n"


VDEVS = """\
  pool: zroot
 state: ONLINE
  scan: resilvered 1.2M in 00:00:01 with 0 errors on Mon Nov 23 04:00:00 2026
config:

\tNAME               STATE     READ WRITE CKSUM
\tzroot              ONLINE       0     0     0
\t  mirror-0         ONLINE       0     0     0
\t    /dev/gpt/zfs0  ONLINE       0     0     0
\t    /dev/vtbd1p4   ONLINE       0     0     0
\tspares
\t  /dev/gpt/zfs2    AVAIL

errors: No known data errors
"""
ALIASES = {
    "zfs0": ("/dev/gpt/zfs0", "/dev/vtbd0p4"),
    "zfs1": ("/dev/gpt/zfs1", "/dev/vtbd1p4"),
    "zfs2": ("/dev/gpt/zfs2", "/dev/vtbd2p4"),
}
WANTED = ("zroot=ONLINE", "mirror-0=ONLINE", "zfs0=ONLINE", "zfs1=ONLINE", "spares", "zfs2=AVAIL")


@pytest.mark.parametrize(
    ("output", "status"),
    [
        pytest.param(VDEVS, 0, id="as-planned"),
        pytest.param(VDEVS.replace("AVAIL", "AVAIL   "), 0, id="padded"),
        pytest.param(VDEVS.replace("/dev/vtbd1p4 ", "/dev/gpt/zfs1"), 0, id="other-name"),
        pytest.param(VDEVS.replace("/dev/vtbd1p4 ", "/dev/gpt/zfs3"), 1, id="other-device"),
        pytest.param(VDEVS.replace("zfs0  ONLINE", "zfs0  FAULTED"), 1, id="faulted"),
        pytest.param(VDEVS.replace("mirror-0 ", "raidz1-0 "), 1, id="other-kind"),
        pytest.param(
            VDEVS.replace("\t  mirror-0         ONLINE       0     0     0\n", ""), 1, id="stripe"
        ),
        pytest.param(VDEVS.replace("\tspares\n", "").replace("AVAIL", "ONLINE"), 1, id="no-spare"),
        pytest.param("", 1, id="no-pool"),
    ],
)
def test_has_vdevs(shell: str, output: str, status: int) -> None:
    text = shtext.has_vdevs("zroot", ALIASES, WANTED)
    found, errors = run(shell, text, zpool=says(output) if output else "return 1")
    assert found == status
    assert ("is not as planned" in errors) == bool(status)

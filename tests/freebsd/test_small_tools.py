"""dd, sockstat, ntpd: how fast, who listens, what the time is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shlint import parses
from zrwizard.freebsd import (
    ParseError,
    dd,
    efibootmgr,
    fstab,
    geli,
    ntp,
    rcconf,
    sockstat,
    sshd,
    ttys,
)

FREEBSD = """\
100+0 records in
100+0 records out
104857600 bytes transferred in 15.057181 secs (6963960 bytes/sec)
"""
GNU = """\
3+0 records in
3+0 records out
3145728 bytes (3.1 MB, 3.0 MiB) copied, 0.00142 s, 2.2 GB/s
"""
SOCKETS = """\
USER     COMMAND    PID   FD  PROTO  LOCAL ADDRESS         FOREIGN ADDRESS      
root     sshd       1021  3   tcp6   *:22                  *:*
root     sshd       1021  4   tcp4   *:22                  *:*
root     sshd-sessi 2040  7   tcp4   127.0.0.1:6010        *:*
root     sshd       1300  3   tcp4   192.168.1.5:2223      *:*
root     ntpd       900   20  udp4   *:123                 *:*
root     sendmail   950   4   tcp4   127.0.0.1:25          *:*
bind     my daemon  951   4   tcp46  [::1]:8080            *:*
?        ?          ?     ?   tcp4   10.0.0.1:22           10.0.0.2:51234
"""


def test_speed() -> None:
    found = dd.parse(FREEBSD)
    assert (found.size, found.seconds) == (104857600, 15.057181)
    assert round(found.rate) == 6963960
    assert dd.parse(GNU) == dd.Speed(3145728, 0.00142)
    # GNU dd writes short times so.
    assert dd.parse(GNU.replace("0.00142", "9.2142e-05")).seconds == pytest.approx(9.2142e-05)
    assert dd.parse(FREEBSD.replace("15.057181", "0.000000")).rate > 0


def test_speed_of_this_machines_dd() -> None:
    done = subprocess.run(
        ["dd", "if=/dev/zero", "of=/dev/null", "bs=65536", "count=16"],
        env={"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert dd.parse(done.stderr).size == 16 * 65536


def test_loss() -> None:
    assert dd.loss(dd.Speed(100, 1.0), dd.Speed(100, 2.0)) == pytest.approx(50.0)
    assert dd.loss(dd.Speed(100, 2.0), dd.Speed(100, 1.0)) == pytest.approx(-100.0)
    with pytest.raises(ValueError, match="nothing"):
        dd.loss(dd.Speed(0, 1.0), dd.Speed(1, 1.0))


def test_a_read_is_bounded_and_writes_nothing() -> None:
    assert dd.read("da0", 100) == "dd if=/dev/da0 of=/dev/null bs=1m count=100"
    with pytest.raises(ValueError, match="mebibyte"):
        dd.read("da0", 0)


@pytest.mark.parametrize("text", ["", "dd: /dev/da9: No such file or directory", "bytes in secs"])
def test_no_speed(text: str) -> None:
    with pytest.raises(ParseError):
        dd.parse(text)


def test_who_listens() -> None:
    rows = SOCKETS.replace(SOCKETS.splitlines()[5] + "\n", "")
    found = sockstat.parse(rows)
    assert found[0] == sockstat.Listener("sshd", 1021, "*", 22)
    assert found[-1] == sockstat.Listener("my daemon", 951, "[::1]", 8080)
    assert len(found) == 6
    assert sockstat.sshd_ports(found) == (22, 2223)
    assert sockstat.sshd_ports(()) == ()
    assert sockstat.parse(SOCKETS.splitlines()[0]) == ()
    with pytest.raises(ParseError):
        sockstat.parse(SOCKETS)


def test_commands_are_sh() -> None:
    for text in (
        dd.read("gpt/a b"),
        dd.random(),
        sockstat.listening(),
        ntp.running(),
        ntp.step(),
    ):
        assert parses(text)


PARSERS = {
    "dd": dd.parse,
    "sockstat": sockstat.parse,
    "geli dump": geli.parse_dump,
    "ssh -V": sshd.parse_version,
    "fstab": fstab.parse,
    "ttys": ttys.parse,
    "rc.conf": rcconf.values,
}
SMALL = ("OpenSSH_", "9.9p1", " ", "\n", "\t", "٣", "-", "bytes", "secs", "(", ")", "0.0", "*:22")
WORDS = st.sampled_from(
    [FREEBSD, GNU, SOCKETS, *SOCKETS.splitlines(), "Metadata on da0:", "keys: 0x01", "tcp4", *SMALL]
)


@pytest.mark.parametrize("name", PARSERS)
@given(text=st.one_of(st.text(max_size=120), st.lists(WORDS, max_size=8).map("".join)))
@settings(max_examples=60, deadline=None)
def test_nothing_but_parse_error(name: str, text: str) -> None:
    try:
        PARSERS[name](text)
    except ParseError as failure:
        assert failure.tool  # noqa: PT017
        assert str(failure).isprintable()  # noqa: PT017


@given(text=st.one_of(st.text(max_size=120), st.lists(WORDS, max_size=8).map("".join)))
@settings(max_examples=60, deadline=None)
def test_complaints_never_raise(text: str) -> None:
    geli.explain(text)
    sshd.explain(text)


# --- efibootmgr -----------------------------------------------------------------------------------

LISTED = r"""Boot to FW : false
BootCurrent: 0004
BootOrder  : 0004, 0000, 0001
+Boot0004* FreeBSD HD(1,GPT,f83a9e2f-bd87-11ef-95b7-000c29761cd2,0x28,0x82000)/File(\efi\freebsd\loader.efi)
                      nda0p1:/efi/freebsd/loader.efi (null)
 Boot0000* EFI VMware Virtual NVME Namespace (NSID 1) PciRoot(0x0)/Pci(0x15,0x0)/Pci(0x0,0x0)
 Boot0001  FreeBSD efiboot0 HD(2,GPT,02415b64-e5ed-11f1-8645-bd5c037f20bb,0x800,0x82000)/File(\EFI\FREEBSD\loader.efi)
 Boot0002* UEFI OS HD(2,GPT,12415b64-e5ed-11f1-8645-bd5c037f20bb,0x800,0x82000)/File(\EFI\BOOT\BOOTX64.EFI)


Unreferenced Variables:
"""  # noqa: E501 - as it is printed


@pytest.mark.parametrize(
    ("guid", "there"),
    [
        pytest.param("F83A9E2F-BD87-11EF-95B7-000C29761CD2", True, id="other-letters"),
        pytest.param("f83a9e2f-bd87-11ef-95b7-000c29761cd2", True, id="same"),
        pytest.param("02415b64-e5ed-11f1-8645-bd5c037f20bb", False, id="not-active"),
        pytest.param("12415b64-e5ed-11f1-8645-bd5c037f20bb", False, id="another-file"),
        pytest.param("22415b64-e5ed-11f1-8645-bd5c037f20bb", False, id="another-partition"),
        pytest.param("", False, id="no-partition"),
    ],
)
@pytest.mark.parametrize("kind", ["dash", "bash"])
def test_active_entry_of_the_firmware(
    tmp_path: Path, kind: str, guid: str, *, there: bool
) -> None:
    media = f"   efimedia: HD(1,GPT,{guid},0x28,0x82000)\n" if guid else ""
    others = "   efimedia: HD(11,GPT,f83a9e2f-bd87-11ef-95b7-000c29761cd2,0x28,0x82000)\n"
    for name, said in (("gpart", others + media), ("efibootmgr", LISTED)):
        (tmp_path / f"{name}.txt").write_text(said)
        (tmp_path / name).write_text(f"#!/bin/sh\ncat {tmp_path}/{name}.txt\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [kind, "-c", efibootmgr.active_entry("vtbd0", 1)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == there
    assert ("+Boot0004* FreeBSD HD(1" in done.stdout) == there
    assert done.stderr == ""


def test_entry_is_made_active() -> None:
    made = efibootmgr.add("/tmp/zr-x/esp/EFI/FREEBSD/loader.efi", "FreeBSD efiboot0")
    assert made == (
        "efibootmgr -a -c -l /tmp/zr-x/esp/EFI/FREEBSD/loader.efi -L 'FreeBSD efiboot0'"
    )
    assert parses(made)

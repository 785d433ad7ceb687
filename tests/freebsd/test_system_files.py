"""The files of a system: one cell or one line changes, the rest stays to the byte."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.freebsd import ParseError, crontab, fstab, loaderconf, sysctlconf, ttys

FSTAB = """\
# Device\tMountpoint\tFStype\tOptions\tDump\tPass#
/dev/ada0p2\t/\t\tufs\trw\t1\t1
/dev/ada0p3\tnone\t\tswap\tsw\t\t0\t0
/dev/gpt/swap1   none            swap    sw,late 0 0  # the second
md99\tnone\tswap\tsw,file=/usr/swap0,late\t0\t0
/dev/ada1p1.eli\tnone\tswap\tsw\t0\t0
proc\t/proc\tprocfs\trw
"""
TTYS = """\
#
# $FreeBSD$
console\tnone\t\t\t\tunknown\toff secure
#
ttyv0\t"/usr/libexec/getty Pc"\t\txterm\ton  secure
ttyv1\t"/usr/libexec/getty Pc"\t\txterm\ton  secure
ttyv8\t"/usr/local/bin/xdm -nodaemon"\txterm\toff secure
# Serial terminals
ttyu0\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure
ttyu1\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure # second
dcons\t"/usr/libexec/getty std.9600"\tvt100\toff secure
xc0\t"/usr/libexec/getty Pc"\t\txterm\tonifconsole secure
rcons\t"/usr/libexec/getty std.9600"\tvt100\tonifconsole secure
"""
CRONTAB = """\
# /etc/crontab - root's crontab for FreeBSD
#
SHELL=/bin/sh
PATH=/etc:/bin:/sbin:/usr/bin:/usr/sbin
#
#minute\thour\tmday\tmonth\twday\twho\tcommand
#
# Save some entropy so that /dev/random can re-seed on boot.
*/11\t*\t*\t*\t*\toperator /usr/libexec/save-entropy
1,31\t0-5\t*\t*\t*\troot\tadjkerntz -a
"""


def rows(old: str, new: str) -> tuple[list[str], list[str]]:
    """The lines that went, and those that came."""
    before, after = old.splitlines(), new.splitlines()
    return [x for x in before if x not in after], [x for x in after if x not in before]


# --- loader.conf and sysctl.conf ----------------------------------------------------------------


def test_loader() -> None:
    old = '# mine\nzfs_load="YES"\nautoboot_delay=10 # s\n\nhint.p4tcc.0.disabled="1"\nexec="echo"'
    assert loaderconf.values(old) == {
        "zfs_load": "YES",
        "autoboot_delay": "10",
        "hint.p4tcc.0.disabled": "1",
        "exec": "echo",
    }
    new = loaderconf.edit(old, {"autoboot_delay": "3", "vfs.zfs.arc.max": "64M", "exec": None})
    assert new == (
        '# mine\nzfs_load="YES"\nautoboot_delay="3" # s\n\nhint.p4tcc.0.disabled="1"\n'
        'vfs.zfs.arc.max="64M"\n'
    )


def test_the_last_line_of_a_name_counts() -> None:
    assert loaderconf.edit('a="1"\na="2"\n', {"a": "1"}) == 'a="1"\na="1"\n'
    assert loaderconf.edit('a="1"\na="2"\n', {"a": "2"}) == 'a="1"\na="2"\n'
    assert loaderconf.edit('a="1"\n#\na="2"\n', {"a": None}) == "#\n"


@pytest.mark.parametrize("text", ['a="1\n', 'a=1"\n', 'a="1" b\n', "a=1 2\n", "\0"])
def test_loader_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ParseError):
        loaderconf.edit(text, {"b": "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", '"'), ("a", "\\"), ("a", "x\ny"), ("a b", "1"), ("", "1"), ("a", " x")],
)
def test_what_loader_cannot_hold(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        loaderconf.edit("", {name: value})


def test_sysctl() -> None:
    old = "# $FreeBSD$\n#security.bsd.see_other_uids=0\nkern.coredump = 1  # x\na.b=1 2 3\n"
    assert sysctlconf.values(old) == {"kern.coredump": "1", "a.b": "1 2 3"}
    new = sysctlconf.edit(old, {"kern.coredump": "0", "security.bsd.see_other_uids": "0"})
    assert new == (
        "# $FreeBSD$\n#security.bsd.see_other_uids=0\nkern.coredump = 0  # x\na.b=1 2 3\n"
        "security.bsd.see_other_uids=0\n"
    )
    for value in ("", "x#y", "'x'"):
        with pytest.raises(ValueError, match=r"[a-z]"):
            sysctlconf.edit("", {"a": value})


# --- crontab ------------------------------------------------------------------------------------


def test_cron_mails_nobody() -> None:
    new = crontab.no_mail(CRONTAB)
    assert rows(CRONTAB, new) == ([], ['MAILTO=""'])
    assert new.index("PATH=") < new.index("MAILTO") < new.index("#minute")
    assert crontab.no_mail(new) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("MAILTO=root\n* * * * * root x\n", 'MAILTO=""\n* * * * * root x\n'),
        ("MAILTO = 'a b'\n@daily root x\n", 'MAILTO = ""\n@daily root x\n'),
        # Below an entry it counts for what follows alone.
        (
            "@daily root x\nMAILTO=me\n@daily root y",
            'MAILTO=""\n@daily root x\nMAILTO=""\n@daily root y',
        ),
        ("# only words\n", '# only words\nMAILTO=""\n'),
        ("", 'MAILTO=""\n'),
        ("A=1\n@daily root X=1 cmd\nB=2\n", 'A=1\nMAILTO=""\n@daily root X=1 cmd\nB=2\n'),
    ],
)
def test_where_the_variable_goes(old: str, new: str) -> None:
    assert crontab.no_mail(old) == new
    assert crontab.no_mail(new) == new


# --- fstab --------------------------------------------------------------------------------------


def test_fstab_is_read() -> None:
    found = fstab.parse(FSTAB)
    assert found[0] == fstab.Row("/dev/ada0p2", "/", "ufs", ("rw",), 1, 1)
    assert found[2] == fstab.Row("/dev/gpt/swap1", "none", "swap", ("sw", "late"))
    assert found[-1] == fstab.Row("proc", "/proc", "procfs", ("rw",))
    assert [row.device for row in found if row.swap] == [
        "/dev/ada0p3",
        "/dev/gpt/swap1",
        "md99",
        "/dev/ada1p1.eli",
    ]


def test_swap_is_encrypted_where_it_can_be() -> None:
    new = fstab.encrypt_swap(FSTAB)
    assert rows(FSTAB, new) == (
        [
            "/dev/ada0p3\tnone\t\tswap\tsw\t\t0\t0",
            "/dev/gpt/swap1   none            swap    sw,late 0 0  # the second",
        ],
        [
            "/dev/ada0p3.eli\tnone\t\tswap\tsw\t\t0\t0",
            "/dev/gpt/swap1.eli   none            swap    sw,late 0 0  # the second",
        ],
    )
    assert fstab.encrypt_swap(new) == new


def test_the_root() -> None:
    noatime = fstab.root_noatime(FSTAB)
    assert rows(FSTAB, noatime)[1] == ["/dev/ada0p2\t/\t\tufs\trw,noatime\t1\t1"]
    assert fstab.root_noatime(noatime) == noatime
    fixed = fstab.root_read_only(noatime)
    assert rows(noatime, fixed)[1] == ["/dev/ada0p2\t/\t\tufs\tro,noatime\t1\t1"]
    assert fstab.root_read_only(fixed) == fixed
    zfs = "/dev/gpt/efi\t/boot/efi\tmsdosfs\trw\t2\t2\n"
    assert fstab.root_noatime(zfs) == zfs
    assert fstab.root_read_only(zfs) == zfs


def test_memory_file_systems() -> None:
    new = fstab.add_tmpfs(FSTAB, "/tmp", "1777", 64)
    assert new == FSTAB + "tmpfs\t/tmp\ttmpfs\trw,nosuid,mode=1777,size=64m\t0\t0\n"
    assert fstab.add_tmpfs(new, "/tmp", "1777", 128) == new
    assert fstab.add_tmpfs("# x", "/a", "755", 1) == (
        "# x\ntmpfs\t/a\ttmpfs\trw,nosuid,mode=755,size=1m\t0\t0\n"
    )
    for mode, size, point in (("9", 1, "/a"), ("755", 0, "/a"), ("755", 1, "/a b")):
        with pytest.raises(ValueError, match=r"[a-z]"):
            fstab.add_tmpfs("", point, mode, size)


@pytest.mark.parametrize("text", ["/dev/a / ufs\n", "x\n", "/dev/a / ufs rw one 1\n"])
def test_fstab_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ParseError):
        fstab.parse(text)


# --- ttys ---------------------------------------------------------------------------------------


def test_the_console_asks_for_a_password_and_nobody_is_locked_out() -> None:
    new = ttys.lock_console(TTYS)
    assert rows(TTYS, new) == (
        ["console\tnone\t\t\t\tunknown\toff secure"],
        ["console\tnone\t\t\t\tunknown\toff insecure"],
    )
    assert ttys.lock_console(new) == new
    before, after = ({each.name: each for each in ttys.parse(text)} for text in (TTYS, new))
    assert after["ttyu0"] == ttys.Terminal(
        "ttyu0", "/usr/libexec/getty 3wire", "vt100", ("onifconsole", "secure")
    )
    assert {name for name in before if before[name] != after[name]} == {"console"}
    assert not after["console"].secure


def test_a_table_without_a_console_gets_one() -> None:
    old = 'ttyv0\t"/usr/libexec/getty Pc"\txterm\ton secure'
    new = ttys.lock_console(old)
    assert new.startswith(old + "\n")
    assert ttys.parse(new)[1] == ttys.Terminal("console", "none", "unknown", ("off", "insecure"))
    assert ttys.lock_console(new) == new


def test_ttys_that_cannot_be_read() -> None:
    with pytest.raises(ParseError):
        ttys.lock_console('ttyv0 "/usr/libexec/getty Pc xterm on secure\n')


# --- all of them --------------------------------------------------------------------------------

EDITS: dict[str, tuple[Callable[[str], str], str]] = {
    "loader": (
        lambda text: loaderconf.edit(text, {"autoboot_delay": "3", "a": "x y", "b": None}),
        r"\s*(autoboot_delay|a|b)\s*=",
    ),
    "sysctl": (
        lambda text: sysctlconf.edit(text, {"kern.coredump": "0", "a": "1 2", "b": None}),
        r"\s*(kern\.coredump|a|b)\s*=",
    ),
    "crontab": (crontab.no_mail, r"\s*[\"']?MAILTO"),
    "swap": (fstab.encrypt_swap, r".*swap"),
    "noatime": (fstab.root_noatime, r".*/"),
    "read-only": (fstab.root_read_only, r".*/"),
    "tmpfs": (lambda text: fstab.add_tmpfs(text, "/tmp", "1777", 64), r"(?!)"),
    "ttys": (ttys.lock_console, r"\s*console"),
}
PARTS = ("\n", "\r\n", "a=1", "a = ", '"', "'", "#", "=", " ", "\t", "b=2", "MAILTO=", "console")
PIECES = st.sampled_from(
    [*FSTAB.splitlines(), *TTYS.splitlines(), *CRONTAB.splitlines(), *PARTS, "\\"]
)
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(PIECES, max_size=8).map("\n".join),
    st.lists(PIECES, max_size=8).map("".join),
)


@pytest.mark.parametrize("name", EDITS)
@given(text=TEXTS)
@settings(max_examples=80, deadline=None)
def test_nothing_but_parse_error_idempotent_and_other_lines_stay(name: str, text: str) -> None:
    edit, touched = EDITS[name]
    try:
        new = edit(text)
    except ParseError as failure:
        assert failure.tool  # noqa: PT017
        return
    assert edit(new) == new
    kept = [line for line in text.split("\n") if line and not re.match(touched, line)]
    behind = iter(new.split("\n"))
    assert all(line in behind for line in kept)

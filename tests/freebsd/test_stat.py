"""stat(1): every row belongs to its path, whatever the names, and whatever is missing."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.freebsd import ParseError
from zrwizard.freebsd.stat import FORMAT, Absent, Stat, parse, stat

NS = 1_000_000_000


def told(directive: str, number: int, found: os.stat_result) -> str:
    """One directive as usr.bin/stat/stat.c prints it."""

    def time(value: int) -> str:
        return f"{value // NS}.{value % NS:09d}"

    try:
        user = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        user = f"({found.st_uid})"
    return {
        "@": str(number), "t": "\t", "p": f"{found.st_mode:o}", "l": str(found.st_nlink),
        "u": str(found.st_uid), "g": str(found.st_gid), "Su": user, "Sg": "wheel",
        "z": str(found.st_size), "i": str(found.st_ino), "Sf": "-", "Fa": time(found.st_atime_ns),
        "Fm": time(found.st_mtime_ns), "Fc": time(found.st_ctime_ns), "FB": "-1.000000000",
    }[directive]  # fmt: skip


def printed(argv: tuple[str, ...]) -> tuple[bytes, bytes]:
    """What FreeBSD's stat prints of real files: lstat(2), the operand's number, warn(3)."""
    assert argv[:2] == ("stat", "-f")
    assert argv[3] == "--"
    out, err = b"", b""
    for number, operand in enumerate(argv[4:], start=1):
        try:
            found = os.lstat(os.fsencode(operand))
        except OSError as error:
            reason = os.strerror(error.errno or 0).encode()
            err += b"stat: " + os.fsencode(operand) + b": stat: " + reason + b"\n"
            continue
        pieces = argv[2].split("%")[1:]
        out += "".join(told(piece, number, found) for piece in pieces).encode() + b"\n"
    return out, err


NASTY = [
    b"a b",
    b"new\nline",
    b"tab\there",
    b"\xff\xfe",
    b"$(id)",
    b"-n",
    b"'q\"",
    b"a -> b",
    b"\x1b[31m",
]


def test_rows_of_real_files(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    paths = []
    for number, name in enumerate(NASTY):
        path = root + b"/" + name
        Path(os.fsdecode(path)).write_bytes(b"x" * number)
        os.utime(path, ns=(number * NS + 7, -number * NS + 5))
        paths += [path, path + b".none"]
    paths.append(paths[0] + b"/below")
    found = parse(tuple(paths), *printed(stat(*paths)))
    for number, path in enumerate(paths[0:-1:2]):
        row = found[2 * number]
        assert isinstance(row, Stat)
        assert row.size == number
        assert (row.atime, row.mtime) == (number * NS + 7, -number * NS + 5)
        assert row.inode == os.lstat(path).st_ino
        assert found[2 * number + 1] == Absent("No such file or directory")
    assert found[-1] == Absent("Not a directory")
    assert all(row.missing for row in found if isinstance(row, Absent))


def test_types_and_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "f").chmod(0o4751)
    (tmp_path / "l").symlink_to("nowhere")
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "p")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
    paths = (*(os.fsencode(tmp_path / name) for name in "fldps"), b"/dev/null")
    rows = parse(paths, *printed(stat(*paths)))
    assert "".join(row.type for row in rows if isinstance(row, Stat)) == "F@/|=C"
    first = rows[0]
    assert isinstance(first, Stat)
    assert (first.mode, first.flags, first.birth) == (0o4751, "", -NS)


ROW = (
    b"2\t100644\t1\t1001\t0\t(1001)\twheel\t5\t77\tuarch,nodump"
    b"\t1.000000001\t2.500000000\t-3.000000001\t4.000000000\n"
)


def test_a_row_in_full() -> None:
    absent, row = parse((b"/a", b"/b"), ROW, b"stat: /a: lstat: Permission denied\n")
    assert row == Stat(
        "F", 0o644, 1001, 0, "1001", "wheel", 5, 1, 77, "uarch,nodump",
        NS + 1, 2 * NS + NS // 2, -3 * NS + 1, 4 * NS,
    )  # fmt: skip
    assert absent == Absent("Permission denied")
    assert not absent.missing


def test_a_name_that_looks_like_rows_and_complaints() -> None:
    evil = b"/x\n" + ROW + b"stat: /b: stat: No such file or directory\n1"
    err = b"stat: " + evil + b": stat: No such file or directory\nstat: /b: stat: Not a directory\n"
    assert parse((evil, b"/b"), b"", err) == (
        Absent("No such file or directory"),
        Absent("Not a directory"),
    )


@pytest.mark.parametrize(
    ("out", "err"),
    [
        (b"", b""),
        (ROW, b""),
        (ROW[:-1], b"stat: /a: stat: Not a directory\n"),
        (ROW[:-9] + b"\n", b"stat: /a: stat: Not a directory\n"),
        (ROW + ROW, b"stat: /a: stat: Not a directory\n"),
        (ROW.replace(b"2\t", b"3\t", 1), b"stat: /a: stat: x\n"),
        (ROW.replace(b"2\t", b"0\t", 1), b"stat: /a: stat: x\n"),
        (ROW.replace(b"100644", b"100648"), b"stat: /a: stat: x\n"),
        (ROW + b"\n", b"stat: /a: stat: x\n"),
        (ROW, b"stat: /ab: stat: No such file or directory\n"),
        (b"hello\n", b""),
    ],
)
def test_nonsense(out: bytes, err: bytes) -> None:
    with pytest.raises(ParseError):
        parse((b"/a", b"/b"), out, err)


@given(
    st.lists(st.binary(max_size=20), max_size=4), st.binary(max_size=300), st.binary(max_size=200)
)
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_raise_nothing_else(names: list[bytes], out: bytes, err: bytes) -> None:
    try:
        parse(tuple(names), out, err)
    except ParseError as failure:
        assert str(failure).isprintable()  # noqa: PT017


@given(
    st.lists(
        st.binary(max_size=8).map(lambda name: b"/" + name.replace(b"\0", b"\n")),
        min_size=1,
        max_size=8,
    ),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_missing_nothing_shifts(paths: list[bytes], data: st.DataObject) -> None:
    there = data.draw(st.lists(st.booleans(), min_size=len(paths), max_size=len(paths)))
    out, err = b"", b""
    for number, (path, real) in enumerate(zip(paths, there, strict=True), start=1):
        if real:
            row = ROW.replace(b"2\t", b"%d\t" % number, 1)
            out += row.replace(b"\t5\t77", b"\t%d\t77" % number)
        else:
            err += b"stat: " + path + b": stat: reason %d\n" % number
    found = parse(tuple(paths), out, err)
    for number, (one, real) in enumerate(zip(found, there, strict=True), start=1):
        if real:
            assert isinstance(one, Stat)
            assert one.size == number
        else:
            assert one == Absent(f"reason {number}")


@pytest.mark.parametrize("paths", [(), (b"a",), (b"/a\0b",), (b"",)])
def test_what_stat_is_not_asked(paths: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match=r"stat needs a path|absolute paths only"):
        stat(*paths)


def test_the_command_prints_no_name() -> None:
    assert stat(b"/\xff -n") == ("stat", "-f", FORMAT, "--", "/\udcff -n")
    assert not {"%N", "%R", "%Y"} & {"%" + piece[-1] for piece in FORMAT.split("%")[1:]}

"""What one damaged byte makes of what is typed for the target's helpers."""

from __future__ import annotations

import re
from pathlib import Path

from noise import Exact, Host, session_on

from zrwizard.cksum import cksum
from zrwizard.shell import helpers

NAMES = re.findall(r"^(\w+)\(\) *\{", helpers.FUNCTIONS, re.MULTILINE)
TYPED = {row.split()[0] for row in helpers.__doc__.splitlines() if re.match(r"z[a-z] {6}", row)}


def one_byte_away(word: str) -> set[str]:
    """Every word that one byte lost, doubled, swapped in, or turned into another makes of it."""
    letters = [chr(code) for code in range(0x20, 0x7F)]
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    return (
        {a + b[1:] for a, b in cuts if b}
        | {a + letter + b for a, b in cuts for letter in letters}
        | {a + letter + b[1:] for a, b in cuts if b for letter in letters}
    )


def test_no_damaged_byte_makes_a_typed_name_one_that_only_helpers_call():
    inner = set(NAMES) - TYPED
    assert {"_r", "_s"} <= inner
    assert set(NAMES) - inner == TYPED
    for name in TYPED:
        assert not one_byte_away(name) & inner, name


def test_a_part_of_a_file_goes_to_no_name_that_was_damaged():
    """Both names in the line alike: a doubled letter at the same place in each."""
    with session_on(Host()) as session:
        home, frames, name = Path(session.home), session.frames, "s1f"
        (home / f"up-{name}").touch()
        count, crc = frames.send_parts("abc123", b"data"), cksum(b"data")
        check = cksum(f"{name}:{count}:0:{crc}".encode())
        for wrong in ("s11f", "s1"):
            # The name once more at the end is no check: both may be damaged alike.
            for last in (str(check), wrong):
                line = f"zw {wrong} {count} 0 {crc} {last}"
                said = frames.ask(line, lambda kind, _: kind in b"NU")
                assert said == (b"N", wrong.encode())
            assert not (home / f"up-{wrong}").exists()
            assert (home / f"up-{name}").read_bytes() == b""


def test_only_who_knows_the_shell_makes_it_one_for_people():
    with session_on(Host()) as session:
        kind, _ = session.frames.ask("zh c0ffee", lambda kind, _: kind == b"N")
        assert kind == b"N"
        assert session.run("stty -a </dev/tty").text.count("-echo ") == 1


def test_a_digit_lost_from_since_when_the_machine_is_up_makes_no_other_boot():
    """Else a machine whose line was cut would be told to have been restarted."""
    host = Host()
    with session_on(host) as session:
        line, frames = host.lines[-1], session.frames
        line.exact = Exact("out", 10**9, bytes)
        mark = frames.boot_mark()
        for at in range(line.exact.passed):
            for change in (lambda byte: b"", lambda byte: byte * 2, lambda byte: b"7"):
                line.exact = Exact("out", at, change)
                assert frames.boot_mark() == mark, at


def test_a_digit_lost_from_the_size_of_an_upload_ends_nothing():
    host = Host()
    with session_on(host) as session:
        line, path = host.lines[-1], Path(session.home) / "file"
        line.exact = Exact("out", 10**9, bytes)
        session.upload(str(path), b"data")
        for at in range(line.exact.passed):
            line.exact = Exact("out", at, lambda byte: b"")
            session.upload(str(path), b"data")
            assert path.read_bytes() == b"data"

"""What one damaged byte makes of what is typed for the target's helpers."""

from __future__ import annotations

import re
from pathlib import Path

from noise import Exact, Host, open_on, open_session

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
    session, _ = open_session(token="c0ffee")
    home = Path(session.home)
    block = b"data"
    frames = session._frames
    for name, wrong in (("s1f", "s11f"), ("s1f", "s1")):
        (home / f"up-{name}").touch()
        id = "abc123"
        count = frames.send_parts(id, block)
        crc = cksum(block)
        check = cksum(f"{name}:{count}:0:{crc}".encode())
        # The name once more at the end is no check: both may be damaged alike.
        for last in (str(check), wrong):
            said = frames.ask(f"zw {wrong} {count} 0 {crc} {last}", lambda kind, _: kind in b"NU")
            assert said == (b"N", wrong.encode())
        assert not (home / f"up-{wrong}").exists()
        assert (home / f"up-{name}").read_bytes() == b""
    session.run(f"rm -rf {home}")
    session.close()


def test_only_who_knows_the_shell_makes_it_one_for_people():
    session, _ = open_session(token="c0ffef")
    frames = session._frames
    kind, _ = frames.ask("zh c0ffee", lambda kind, _: kind == b"N")
    assert kind == b"N"
    assert session.run("stty -a </dev/tty").text.count("-echo ") == 1
    session.run(f"rm -rf {session.home}")
    session.close()


def test_a_digit_lost_from_since_when_the_machine_is_up_makes_no_other_boot():
    """Else a machine whose line was cut would be told to have been restarted."""
    host = Host()
    session = open_on(host, token="c0fff0")
    line, frames = host.lines[-1], session.frames
    line.exact = Exact("out", 10**9, bytes)
    mark = frames.boot_mark()
    for at in range(line.exact.passed):
        for change in (lambda byte: b"", lambda byte: byte * 2, lambda byte: b"7"):
            line.exact = Exact("out", at, change)
            assert frames.boot_mark() == mark, at
    session.run(f"rm -rf {session.home}")
    session.console.close()
    host.end()


def test_a_digit_lost_from_the_size_of_an_upload_ends_nothing():
    host = Host()
    session = open_on(host, token="c0fff1")
    line, path = host.lines[-1], Path(session.home) / "file"
    line.exact = Exact("out", 10**9, bytes)
    session.upload(str(path), b"data")
    for at in range(line.exact.passed):
        line.exact = Exact("out", at, lambda byte: b"")
        session.upload(str(path), b"data")
        assert path.read_bytes() == b"data"
    session.run(f"rm -rf {session.home}")
    session.console.close()
    host.end()

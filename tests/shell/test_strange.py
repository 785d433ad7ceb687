"""What came from the console before a command: a line editor's own keys, or a screen of others."""

from __future__ import annotations

import os
import shutil
import termios

import pytest
from noise import Host, open_on

from zrwizard.console.errors import MachineLost, Restarted
from zrwizard.shell.session import ShellSession

DRAWN = [
    b"\x1b[H\x1b[J\x1b[7;48H  \x1b[31m```",
    b"\x1b[1;24r\x1b[m\x1b[?7h\x1b[H\x1b[J FreeBSD Installer\r\n",
    b"\x1b[2J",
    b"\x1b[0;2J",
    b"\x1b[02J",
    b"\x1b[1J",
    b"\x1b[9;13H Welcome to FreeBSD ",
    b"\x1b[J\x1b[8;20H Keymap Selection",
    b"\x1bc",
    b"\x1b7\x1b[r\x1b[999;999H\x1b[6n",
    b"\r\nConsole type [vt100]: ",
]


STARTS = [b"FreeBSD/x86 bootstrap loader, Revision 1.1\r\n", b"---<<BOOT>>---\r\n"]


@pytest.fixture
def ours():
    """A session that may be lost: then nothing can be run there any more."""
    host = Host("dash")
    session = open_on(host, token=f"{os.getpid():x}e1")
    yield session, host
    shutil.rmtree(session.home)
    session.close()
    host.end()


@pytest.mark.parametrize("screen", [*DRAWN, *STARTS])
def test_nothing_is_typed_to_a_screen_that_somebody_else_draws(ours, screen):
    session, host = ours
    session.run("true")
    before = host.typed
    session.console._inbox.put(screen)
    said = "is going down" if screen in STARTS else "something else has the console"
    with pytest.raises(Restarted if screen in STARTS else MachineLost, match=said):
        session.run("true")
    assert host.typed == before
    assert session.console.unread() == screen


def test_a_line_editor_that_draws_its_line_anew_is_no_stranger():
    """busybox' edits lines as soon as somebody turned echo on; a smaller window makes it draw."""
    host = Host("busybox-ash")
    session = open_on(host, token=f"{os.getpid():x}e2")
    mode = termios.tcgetattr(host.spawn.child_fd)
    mode[3] |= termios.ECHO
    termios.tcsetattr(host.spawn.child_fd, termios.TCSANOW, mode)
    assert session.run("printf a").out == b"a"
    # It notices a size that changes while it waits for a key, not just before.
    for columns in range(80, 200):
        host.spawn.setwinsize(24, columns)
        if shown(session, b"\x1b[J"):
            break
    assert b"\x1b[J" in session.console.peek()
    result = session.run("printf b; printf c >&2; exit 3")
    assert (result.status, result.out, result.err) == (3, b"b", b"c")
    session.run(f"rm -rf {session.home}")
    session.close()
    host.end()


def shown(session: ShellSession, what: bytes) -> bool:
    """Whether `what` arrives soon; it is left there for the next command to find."""
    changed = session.console._inbox.changed
    with changed:
        return changed.wait_for(lambda: what in session.console.peek(), 0.2)

"""A serial line, on the two ends of a real pty."""

from __future__ import annotations

import os
import pty

import pytest

from zrwizard.line import LineError, open_line


def test_a_device_is_opened_raw_and_passes_bytes():
    master, slave = pty.openpty()
    spawn = open_line(f"serial://{os.ttyname(slave)}?speed=9600")
    os.write(master, b"a\r\n\xff# ")
    assert spawn.read_nonblocking(100, 2) == b"a\r\n\xff# "
    spawn.send(b"x\r\x03")
    assert os.read(master, 100) == b"x\r\x03"
    spawn.close()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("serial:///dev/nosuch0", "cannot open"),
        ("serial:///dev/null", "not a serial device"),
        ("serial:///dev/null?speed=12345", "no speed"),
    ],
)
def test_what_is_no_serial_line_is_explained(url, says):
    with pytest.raises(LineError, match=says) as caught:
        open_line(url)
    assert caught.value.now

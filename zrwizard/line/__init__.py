"""Streams of bytes to a target. Bytes and deadlines, nothing else.

`open_line(url)` returns a pexpect spawn object: `pexpect.spawn` itself for a pty and for ssh, our
own `ByteSpawn` for telnet and serial devices. All of them read with `read_nonblocking` and write
with `send`; end of file is `pexpect.EOF`, an empty wait `pexpect.TIMEOUT`.
"""

from zrwizard.line.address import Address, LineError, parse
from zrwizard.line.open import open_line

__all__ = ["Address", "LineError", "open_line", "parse"]

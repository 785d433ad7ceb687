"""Programs that ask for a passphrase on their terminal, answered there."""

from __future__ import annotations

import pexpect


def on_tty(argv: list[str], answers: list[bytes]) -> tuple[int, str]:
    """Run `argv` on a terminal, answering its passphrase prompts; its status and what it said."""
    child = pexpect.spawn(argv[0], argv[1:], timeout=60)
    said = b""
    for answer in answers:
        child.expect("(?i)passphrase[^:]*: ?")
        said += child.before + child.after
        child.sendline(answer)
    child.expect(pexpect.EOF)
    said += child.before
    child.close()
    assert not any(answer in said for answer in answers)
    return child.exitstatus or child.signalstatus or 0, said.decode("utf-8", "replace")

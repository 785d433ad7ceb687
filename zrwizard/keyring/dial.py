"""ssh from the operator's own machine to the server, with each of its three keys."""

from __future__ import annotations

from typing import Protocol

from zrwizard.keyring.channel import Channel, DialError, Reply, Who

__all__ = ["Channel", "Dial", "DialError", "Reply", "Who"]


class Dial(Protocol):
    """The way to the server. Every method may raise an `OperatorError`, `close` never."""

    def open(self, who: Who, command: str, port: int) -> Channel:
        """Start `command` on the server's TCP port `port`, let in by the key of `who`.

        For `deliver` and `receive` the certificate decides what runs; `command` is the request.
        """
        ...

    def run(
        self, who: Who, command: str, port: int, *, stdin: bytes = b"", timeout: float = 60.0
    ) -> Reply:
        """`open`, send `stdin`, `finish` within `timeout` seconds."""
        ...

    def tries(self, who: Who, port: int) -> tuple[str, ...]:
        """Return what a thief of the key of `who` could do besides its purpose, in sentences.

        Everything is really tried; an empty tuple means that all was refused.
        """
        ...

    def close(self) -> None:
        """End every session and remove what was made for them."""
        ...

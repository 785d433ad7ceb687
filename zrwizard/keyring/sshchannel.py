"""One ssh(1) process as a `Channel`: pipes, two reader threads, a deadline for every wait."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from zrwizard.keyring.channel import DialError, Reply

Explain = Callable[[str], DialError]
"""Turns what ssh said into why it failed."""

OUT_LIMIT = 64 << 20
ERR_LIMIT = 64 << 10
LINE_LIMIT = 64 << 10
SEND_TIMEOUT = 60.0
"""Seconds for which the server may take nothing at all of what is sent."""

_SSH_FAILED = 255
_GRACE = 5.0


class SshChannel:
    """See `Channel`. Holds at most `OUT_LIMIT` bytes of output and the end of the complaints."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], explain: Explain
    ) -> None:
        self._explain = explain
        self._news = threading.Condition()
        self._out = bytearray()
        self._err = bytearray()
        self._out_ended = False
        self._err_ended = False
        self._excess = False
        self._was_cut = False
        # A session, and so a process group, of its own: nothing of it is left when it is cut,
        # and it has no terminal on which it could ask anybody.
        self._process = subprocess.Popen(  # noqa: S603 - an argument list of our own making
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - for the types
        assert self._process.stderr  # noqa: S101
        self._stdin = self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._readers = [
            threading.Thread(target=read, args=(stream.fileno(),), daemon=True)
            for read, stream in (
                (self._read_out, self._process.stdout),
                (self._read_err, self._process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    # --- what goes in -------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """See `Channel`; DialError where nothing is taken for `SEND_TIMEOUT` seconds."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._stdin.fileno(), rest[:65536]) :]
            except BlockingIOError:
                self._wait_for_room()
            except (BrokenPipeError, ValueError):
                raise self._ended_early() from None

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._stdin.fileno(), select.POLLOUT)
        if not poll.poll(SEND_TIMEOUT * 1000):
            self.cut()
            raise DialError(
                "silent",
                f"The server took nothing of what is sent for {SEND_TIMEOUT:.0f} seconds.",
                "Check the network and that the server is still up, then try again.",
            )

    def end(self) -> None:
        """See `Channel`."""
        with contextlib.suppress(OSError):
            self._stdin.close()

    # --- what comes out -----------------------------------------------------------------------

    def line(self, timeout: float) -> bytes:
        """See `Channel`. DialError of kind `ended` where the command has ended by itself."""
        with self._news:
            self._news.wait_for(self._line_or_end, timeout)
            found = self._out.find(b"\n", 0, LINE_LIMIT)
            if found >= 0:
                row = bytes(self._out[:found])
                del self._out[: found + 1]
                return row
            if len(self._out) >= LINE_LIMIT:
                raise _too_much("a line", LINE_LIMIT)
            over = self._out_ended
        if over:
            raise self._ended_early()
        raise DialError(
            "silent",
            f"The server has not answered within {timeout:.0f} seconds.",
            "Check that its disk and its network are well, then try again.",
        )

    def _line_or_end(self) -> bool:
        return self._out_ended or len(self._out) >= LINE_LIMIT or b"\n" in self._out

    def finish(self, timeout: float) -> Reply:
        """See `Channel`; a command that does not end in time is cut."""
        self.end()
        status = self._wait(timeout)
        if self._excess:
            raise _too_much("the output", OUT_LIMIT)
        err = self.complaints()
        if status is None:
            self.cut()
            raise DialError(
                "silent",
                f"The command on the server has not ended within {timeout:.0f} seconds.",
                "Check that its disk and its network are well, then try again.",
            )
        self._raise_if_failed(status, err)
        with self._news:
            return Reply(status, bytes(self._out), err)

    def complaints(self) -> str:
        """Return the end of what was written to standard error so far."""
        with self._news:
            return self._err.decode("utf-8", "replace")

    def output(self, wanted: int = 0, timeout: float = 0.0) -> bytes:
        """Return the output so far that no `line` has taken.

        Waits up to `timeout` seconds for `wanted` bytes, or for the end.
        """
        with self._news:
            self._news.wait_for(lambda: self._out_ended or len(self._out) >= wanted, timeout)
            return bytes(self._out)

    def heard(self, pattern: re.Pattern[str], timeout: float) -> re.Match[str] | None:
        """Return where `pattern` is in the complaints, None where it is not within `timeout`.

        It comes back at once when the process has ended.
        """
        found: re.Match[str] | None = None

        def known() -> bool:
            nonlocal found
            found = pattern.search(self._err.decode("utf-8", "replace"))
            return found is not None or self._err_ended

        with self._news:
            self._news.wait_for(known, timeout)
        return found

    def _wait(self, timeout: float) -> int | None:
        """The exit status when all has been read; None where that is not so in time."""
        until = time.monotonic() + timeout
        try:
            status = self._process.wait(max(0.0, timeout))
        except subprocess.TimeoutExpired:
            return None
        for reader in self._readers:
            reader.join(max(_GRACE, until - time.monotonic()))
        return status

    def _raise_if_failed(self, status: int, err: str) -> None:
        if self._was_cut or status < 0:
            raise DialError("closed", "The line was cut here.", "Dial again.")
        if status == _SSH_FAILED:
            raise self._explain(err)

    def _ended_early(self) -> DialError:
        """Why nothing more comes, for a caller who expected more."""
        status = self._wait(_GRACE)
        err = self.complaints()
        try:
            self._raise_if_failed(-1 if status is None else status, err)
        except DialError as error:
            return error
        last = err.strip().splitlines()[-1:] or ["nothing"]
        return DialError(
            "ended",
            f"The command on the server ended with status {status} and said: {last[0][:200]}",
            "Look at what it says, then try again.",
        )

    # --- the end ------------------------------------------------------------------------------

    def cut(self) -> None:
        """See `Channel`. The kernel closes the killed ssh's TCP connection at once."""
        if self._process.poll() is None:
            self._was_cut = True
            self._kill()
            self._process.wait()
        self.end()
        for reader in self._readers:
            reader.join(_GRACE)

    def _kill(self) -> None:
        # Only while it is not reaped: its number may be somebody else's afterwards.
        with contextlib.suppress(OSError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def ended(self) -> bool:
        """Whether the ssh process is gone."""
        return self._process.poll() is not None

    # --- readers ------------------------------------------------------------------------------

    def _read_out(self, fd: int) -> None:
        for data in _chunks(fd):
            with self._news:
                if len(self._out) + len(data) > OUT_LIMIT:
                    self._excess = True
                    break
                self._out += data
                self._news.notify_all()
        if self._excess:
            self._kill()
        with self._news:
            self._out_ended = True
            self._news.notify_all()

    def _read_err(self, fd: int) -> None:
        for data in _chunks(fd):
            with self._news:
                self._err += data
                del self._err[:-ERR_LIMIT]
                self._news.notify_all()
        with self._news:
            self._err_ended = True
            self._news.notify_all()


def _chunks(fd: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := os.read(fd, 65536):
            yield data


def _too_much(what: str, limit: int) -> DialError:
    return DialError(
        "too much",
        f"The server wrote more than {limit >> 10} KiB where {what} was expected to be short.",
        "Look at the server; this is not what its receiver writes.",
    )

"""Commands of a preview, asked so that they can be stopped at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from zrwizard.console.errors import LineCut, NoAnswer
from zrwizard.shell.api import Result
from zrwizard.shell.readonly import ReadOnly

_MOST_HELD = 64 * 1024 * 1024
_MOST_AT_ONCE = 256 * 1024


def ask(
    shell: ReadOnly,
    argv: Sequence[str],
    *,
    timeout: float = 60.0,
    stop: threading.Event | None = None,
) -> Result:
    """Run `argv` and return its `Result` with the output; setting `stop` raises `Cancelled`.

    Output that was damaged on its way, or cut off, is asked for once more, in checked blocks then.
    Raises `ConsoleError`.
    """
    got = bytearray()
    began = time.monotonic()
    try:
        result = shell.stream(argv, got.extend, timeout=timeout, stop=stop)
    except (NoAnswer, LineCut):
        left = timeout - (time.monotonic() - began)
        if left <= 0:
            raise
        return shell.run(argv, timeout=timeout)
    return replace(result, out=bytes(got))


class Spool:
    """A command whose output is taken piece by piece in the caller's thread while it runs.

    The console's reader only puts it aside; where nobody takes it, it waits beyond 64 MiB, as in
    a full pipe. A `with` block; leaving it stops the command if it still runs.
    """

    def __init__(self, shell: ReadOnly, argv: Sequence[str], *, timeout: float) -> None:
        self._shell = shell
        self._argv = tuple(argv)
        self._timeout = timeout
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._pieces: list[bytes] = []
        self._held = 0
        self._over = False
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="preview-command", daemon=True)

    def __enter__(self) -> Spool:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.halt()
        self._thread.join()

    def halt(self) -> None:
        """Stop the command on the target; what came before can still be taken."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def take(self, wait: float) -> bytes | None:
        """What came, b"" where nothing did within `wait` seconds, None after the last of it."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._over, wait)
            if not self._pieces:
                return None if self._over else b""
            count, size = 0, 0
            while count < len(self._pieces) and size < _MOST_AT_ONCE:
                size += len(self._pieces[count])
                count += 1
            data = b"".join(self._pieces[:count])
            del self._pieces[:count]
            self._held -= size
            self._changed.notify_all()
            return data

    def result(self) -> Result:
        """How the command ended, its output excepted. Raises what running it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._result is not None  # noqa: S101 - one of the two is set at its end
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._shell.stream(
                self._argv, self._put, timeout=self._timeout, stop=self._stop
            )
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._held < _MOST_HELD or self._stop.is_set())
            self._pieces.append(data)
            self._held += len(data)
            self._changed.notify_all()

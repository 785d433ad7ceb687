"""What passed over a console, on disk, with every secret masked; asciicast v2, so it plays.

Output is held back for a moment while its end could be the beginning of a secret, so that one
that arrives in pieces is masked as well.
"""

from __future__ import annotations

import codecs
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zrwizard.secrets import Secrets


class Transcript:
    """Writes events of both directions; a `None` path keeps nothing. Thread-safe."""

    def __init__(self, path: Path | None, secrets: Secrets, title: str) -> None:
        self.title = title
        self._secrets = secrets
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._held = b""
        self._withheld: int | None = None
        self._unanswered = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(fd, "w", encoding="utf-8")
            if path.stat().st_size == 0:
                header = {"version": 2, "width": 80, "height": 24, "timestamp": int(time.time())}
                self._write_line({**header, "title": title})

    @contextmanager
    def withheld(self, name: str) -> Iterator[None]:
        """Keep what the target shows out, only its length is noted: an echo may hold `name`.

        Left by an error, it lasts until the shell has `answered` something else: a shell that a
        damaged line confused complains of the lines that it swallowed, word for word.
        """
        with self._lock:
            self._release()
            self._withheld = self._withheld or 0
            self._unanswered = ""
        try:
            yield
        except BaseException:
            with self._lock:
                self._unanswered = name
            raise
        self._shown_again(name)

    def answered(self) -> None:
        """Note that the shell answered: what it had to say of what was typed before is said."""
        if self._unanswered:
            self._shown_again(self._unanswered)

    def _shown_again(self, name: str) -> None:
        with self._lock:
            count, self._withheld, self._unanswered = self._withheld, None, ""
            self._event("m", f"{count} bytes are not shown: {name} was on its way")

    def output(self, data: bytes) -> None:
        """Note bytes that came from the target."""
        with self._lock:
            if self._withheld is not None:
                self._withheld += len(data)
                return
            self._held = self._secrets.redact(self._held + data)
            keep = self._overlap(self._held)
            ready, self._held = self._held[: len(self._held) - keep], self._held[-keep:]
            if not keep:
                self._held = b""
            self._event("o", self._decoder.decode(ready))

    def input(self, data: bytes) -> None:
        """Note bytes that were typed; a secret's own bytes never come here."""
        with self._lock:
            self._event("i", self._secrets.redact(data).decode("utf-8", "replace"))

    def mark(self, text: str) -> None:
        """Note what the bytes mean: the command in plain text, a state, a cut.

        Bytes of names that are no UTF-8 (surrogates, in `text`) are written as `\\xNN`.
        """
        with self._lock:
            self._release()
            plain = self._secrets.redact_text(text).encode("utf-8", "surrogateescape")
            self._event("m", plain.decode("utf-8", "backslashreplace"))

    def resize(self, rows: int, columns: int) -> None:
        """Note how large the window is now."""
        with self._lock:
            self._event("r", f"{columns}x{rows}")

    def close(self) -> None:
        """Write what was held back and close the file."""
        with self._lock:
            self._release()
            if self._file:
                self._file.close()
                self._file = None

    def _release(self) -> None:
        held, self._held = self._held, b""
        self._event("o", self._decoder.decode(held))

    def _overlap(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` are a secret's beginning."""
        best = 0
        for secret in self._secrets.known.values():
            value = secret.reveal()
            for size in range(min(len(value) - 1, len(data)), best, -1):
                if data.endswith(value[:size]):
                    best = size
                    break
        return best

    def _event(self, kind: str, text: str) -> None:
        if text:
            self._write_line([round(time.monotonic() - self._start, 4), kind, text])

    def _write_line(self, value: object) -> None:
        if self._file:
            self._file.write(json.dumps(value, ensure_ascii=False) + "\n")
            self._file.flush()

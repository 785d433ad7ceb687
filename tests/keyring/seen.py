"""What could be seen of a secret by others on this machine: process lists, sampled all the time."""

from __future__ import annotations

import threading
from types import TracebackType

from tests.keyring.door import command_lines


class Sampler:
    """Collects the arguments and environments of all processes while it is entered."""

    def __init__(self, pause: float = 0.02) -> None:
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._rows: set[bytes] = set()
        self.times = 0

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(10)

    def _sample(self) -> None:
        while not self._over.wait(self._pause):
            self._rows.update(command_lines())
            self.times += 1

    def has(self, *secrets: str | bytes) -> bool:
        """Whether any of `secrets` was in any argument or environment."""
        needles = [one.encode() if isinstance(one, str) else one for one in secrets]
        return any(needle in row for row in self._rows for needle in needles)

    def saw(self, text: str) -> bool:
        """Whether `text`, which is public, was seen: that the sampler works at all."""
        return self.has(text)

"""What lies over a page, and goes away once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

T = TypeVar("T")


class Pane(ModalScreen[T]):
    """Something over a page, which is dismissed with a `T`."""

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Go away; a second time, by a key or a clock that was already on its way, does nothing.

        Textual takes whatever lies on top away, which would then be the page.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()

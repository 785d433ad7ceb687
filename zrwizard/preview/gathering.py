"""A preview that is printed when it is over: gathered into one tree, then exported whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from zrwizard.preview import export
from zrwizard.preview.arguments import Form
from zrwizard.preview.events import Told
from zrwizard.preview.printing import encoded, write
from zrwizard.preview.tree import Tree

_PIECE = 64 * 1024


class Gathering:
    """A `Printer` for CSV and Markdown; what was found before it broke off is printed too."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._tree = Tree()

    def hear(self, told: Told) -> None:
        """See `Printer.hear`."""
        self._tree.tell(told)

    def end(self, code: int, what: str, now: str, changes: int) -> None:
        """See `Printer.end`."""
        del code, now, changes
        if what:
            self._tree.finish(True, what)
        waiting: list[str] = []
        held = 0
        for text in self._lines():
            waiting.append(text)
            held += len(text)
            if held >= _PIECE:
                write(encoded("".join(waiting)))
                waiting, held = [], 0
        write(encoded("".join(waiting)))

    def _lines(self) -> Iterator[str]:
        match self._form:
            case Form.CSV:
                return export.to_csv(self._tree)
            case Form.MARKDOWN:
                return export.to_markdown(self._tree)
            case Form.LINES | Form.JSON:
                raise ValueError(f"{self._form} is printed as it comes")
            case _:
                assert_never(self._form)

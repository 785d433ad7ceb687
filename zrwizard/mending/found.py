"""What is known of the new machine, and what a rule says about one file. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from zrwizard.plan import Mend

_DISK = re.compile(r"/dev/(?:[a-z]+/)?([a-z]+[0-9]+)(?:[ps][0-9].*|\.eli)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mended:
    """A file's new text; a sentence for each thing that was changed, and for what was only seen."""

    text: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def then(self, rule: Callable[[str], Mended]) -> Mended:
        """Return what `rule` makes of the new text, with what was said before it."""
        more = rule(self.text)
        return Mended(more.text, (*self.reasons, *more.reasons), (*self.notes, *more.notes))


def is_elsewhere(device: str, machine: Mend) -> bool:
    """Whether a device (`/dev/ada1p2`) lies on a disk that is here and was not erased."""
    found = _DISK.fullmatch(device)
    return found is not None and found[1] in machine.others

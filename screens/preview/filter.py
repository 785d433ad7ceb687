"""What the operator wants to see of a tree, written in one line: kinds, a size, a name."""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_KINDS = frozenset("+-MR")
HOW = 'Show only: kinds (+ - M R), a size (>10M), a name (*.conf, "M" in quotes); empty shows all:'


class FilterError(ValueError):
    """The line will not do; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Filter:
    """`kinds` are letters of `Change.kind` ("": all), `size` the least size in bytes."""

    kinds: str = ""
    name: str = ""
    size: int = 0

    @property
    def text(self) -> str:
        """The line that `read` understands as this."""
        words = [self.kinds] if self.kinds else []
        if self.size:
            words.append(f">{_short(self.size)}")
        if self.name:
            plain = _reads_back(self.name)
            words.append(self.name if plain else f'"{self.name}"')
        return " ".join(words)


def read(text: str) -> Filter:
    """Return the filter that a line asks for. Raises `FilterError`.

    Words of the letters + - M R only are kinds, a word that begins with > is the least size, and
    the rest is the name; what stands between double quotes is a name whatever it holds.
    """
    kinds, least, name = "", 0, []
    rest = text.strip()
    while rest:
        if rest.startswith('"'):
            quoted, closed, rest = rest[1:].rpartition('"')
            if not closed:
                raise FilterError('The name begins with " and has none at its end.')
            name.append(quoted)
        else:
            word, _, rest = rest.partition(" ")
            if set(word) <= _KINDS:
                kinds += word
            elif word.startswith(">"):
                least = _size(word[1:])
            else:
                name.append(word)
        rest = rest.strip()
    kept = "".join(sorted(set(kinds)))
    return Filter("" if set(kept) == _KINDS else kept, " ".join(name), least)


def _reads_back(name: str) -> bool:
    """Whether `read` takes these words for a name without quotes around them."""
    words = name.split(" ")
    return '"' not in name and not any(set(word) <= _KINDS or word[0] == ">" for word in words)


def _size(word: str) -> int:
    number, unit = word.rstrip("KMGTkmgt"), word[len(word.rstrip("KMGTkmgt")) :].upper()
    try:
        return int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise FilterError(f"{word or 'Nothing'} is no size: say >500, >10K, >1.5M.") from None


def _short(count: int) -> str:
    for unit in "TGMK":
        if count >= _UNITS[unit] and count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]}{unit}"
    return str(count)

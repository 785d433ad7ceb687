"""test(1) over the files of an installed host, whose names the virtual shell cannot all hold."""

from __future__ import annotations

from collections.abc import Callable

from zrwizard.rehearsal.commands import Call, file_program
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.filespace import Lack, Outside, Place

_KINDS = {"f": "F", "d": "/", "h": "@", "L": "@", "p": "|", "S": "=", "b": "B", "c": "C"}
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_BINARY = {*_NUMBERS, "=", "==", "!=", "<", ">", "-nt", "-ot", "-ef"}


class Reader:
    """One expression; `value` is whether it is true."""

    def __init__(self, call: Call, words: list[str]) -> None:
        self._call, self._words = call, words

    def value(self) -> bool:
        """The whole expression; POSIX rules by the number of words first."""
        words = self._words
        if len(words) == 3 and words[1] in _BINARY:
            return self._binary(words[0], words[1], words[2])
        if len(words) == 4 and words[0] == "!" and words[2] in _BINARY:
            return not self._binary(words[1], words[2], words[3])
        if not words:
            return False
        if len(words) == 1:
            return bool(words[0])
        found = self._or()
        if self._words:
            raise Fail(f"{self._call.name}: {self._words[0]}: unexpected operator\n", 2)
        return found

    def _or(self) -> bool:
        found = self._and()
        while self._words[:1] == ["-o"]:
            del self._words[0]
            found = self._and() or found
        return found

    def _and(self) -> bool:
        found = self._one()
        while self._words[:1] == ["-a"]:
            del self._words[0]
            found = self._one() and found
        return found

    def _one(self) -> bool:
        if not self._words:
            raise Fail(f"{self._call.name}: argument expected\n", 2)
        word = self._words.pop(0)
        if word == "!":
            return not self._one()
        if word == "(":
            found = self._or()
            if self._words[:1] != [")"]:
                raise Fail(f"{self._call.name}: closing paren expected\n", 2)
            del self._words[0]
            return found
        if len(self._words) > 1 and self._words[0] in _BINARY:
            sign, other = self._words[:2]
            del self._words[:2]
            return self._binary(word, sign, other)
        if len(word) == 2 and word[0] == "-" and word[1] in "bcdefghknLOGprstSuwxz" and self._words:
            return self._unary(word[1], self._words.pop(0))
        return bool(word)

    def _binary(self, one: str, sign: str, two: str) -> bool:
        if sign in _NUMBERS:
            try:
                return _NUMBERS[sign](int(one), int(two))
            except ValueError:
                raise Fail(f"{self._call.name}: {one}: bad number\n", 2) from None
        if sign in ("-nt", "-ot", "-ef"):
            first, second = self._look(one), self._look(two)
            if not isinstance(first, Place) or not isinstance(second, Place):
                return False
            newer = first.node.mtime - second.node.mtime
            same = (first.device, first.node.number) == (second.device, second.node.number)
            return {"-nt": newer > 0, "-ot": newer < 0, "-ef": same}[sign]
        return {"=": one == two, "==": one == two, "!=": one != two, "<": one < two}.get(
            sign, one > two
        )

    def _look(self, name: str, *, follow: bool = True) -> Place | Outside | None:
        space = self._call.machine.space
        assert space is not None  # noqa: S101 - the program is known to such machines only
        try:
            return space.find(self._call.where(name), follow=follow)
        except Lack:
            return None

    def _unary(self, letter: str, word: str) -> bool:
        if letter in "nz":
            return bool(word) == (letter == "n")
        if letter == "t":
            return False
        if not word:
            return False
        place = self._look(word, follow=letter not in "hL")
        if isinstance(place, Outside):
            return self._outside(letter, word)
        if place is None:
            return False
        node = place.node
        if letter in _KINDS:
            return node.kind == _KINDS[letter]
        if letter == "x":
            return bool(node.mode & 0o111)
        if letter == "w":
            return place.writable
        return letter in "erOG" or (letter == "s" and place.size > 0)

    def _outside(self, letter: str, name: str) -> bool:
        fs, path = self._call.io.fs, self._call.path(name)
        try:
            if letter in "hL":
                return bool(fs.stat(path)["file_type"] == "symlink")
            if not fs.exists(path):
                return False
            found = fs.stat(path)
        except (RuntimeError, OSError):
            return False
        if letter in "fdpSbc":
            fifo = path in self._call.machine.fifos
            kinds: dict[str, bool] = {
                "f": found["file_type"] == "file" and not fifo,
                "d": found["file_type"] == "directory",
                "p": fifo,
                "c": path.startswith("/dev/"),
            }
            return kinds.get(letter, False)
        if letter == "s":
            return bool(found["size"])
        return letter != "x" or bool(int(found["mode"]) & 0o111) or found["file_type"] != "file"


@file_program("test", "/bin")
async def test(call: Call) -> int:
    """test(1)."""
    return 0 if Reader(call, list(call.args)).value() else 1


@file_program("[", "/bin")
async def bracket(call: Call) -> int:
    """The same with a closing bracket."""
    if call.args[-1:] != ["]"]:
        raise Fail("[: missing ]\n", 2)
    return 0 if Reader(call, list(call.args[:-1])).value() else 1

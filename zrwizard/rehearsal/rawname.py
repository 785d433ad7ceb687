"""File names as the bytes that they are, carried through a virtual shell that knows text only.

Inside the shell a byte that is no UTF-8 travels as two private characters; programs of the
simulated machine turn them back.
"""

from __future__ import annotations

import re

_MARK = "\U0010fffd"
_BASE = 0x10F700
_ENCODED = re.compile(f"{_MARK}([{chr(_BASE + 0x80)}-{chr(_BASE + 0xFF)}])")
_PATTERN = re.compile(rb"\xf4\x8f\xbf\xbd\xf4\x8f([\x9e\x9f])([\x80-\xbf])")


def wide(data: bytes) -> str:
    """`data` as text of which `narrow` makes the same bytes again."""
    text = data.decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda m: _MARK + chr(ord(m[0]) - 0xDC00 + _BASE), text)


def narrow(text: str) -> bytes:
    """The bytes that a word of the virtual shell stands for."""
    plain = _ENCODED.sub(lambda m: chr(ord(m[1]) - _BASE + 0xDC00), text)
    return plain.encode("utf-8", "surrogateescape")


def narrow_bytes(data: bytes) -> bytes:
    """The same for what a pipe of the virtual shell carries."""
    return _PATTERN.sub(lambda m: bytes([(m[1][0] << 6 & 0x40) | m[2][0] & 0x3F | 0x80]), data)


def is_text(data: bytes) -> bool:
    """Could `data` be a command: no control characters but tab and newline?"""
    return not re.search(rb"[\x00-\x08\x0b-\x1f]", data)


def printable(name: bytes) -> str:
    """A name in a sentence: what is not plain ASCII as `\\xNN`."""
    return "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in name)

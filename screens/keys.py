"""What a terminal sends for a key, as xterm does (ctlseqs)."""

from __future__ import annotations

_CURSOR = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}
_TILDE = {
    **{"insert": 2, "delete": 3, "pageup": 5, "pagedown": 6},
    **{"f5": 15, "f6": 17, "f7": 18, "f8": 19, "f9": 20, "f10": 21, "f11": 23, "f12": 24},
}
_FUNCTION = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_PLAIN = {
    "enter": b"\r",
    "tab": b"\t",
    "backspace": b"\x7f",
    "escape": b"\x1b",
    "space": b" ",
    "shift+tab": b"\x1b[Z",
    "shift+escape": b"\x1b",
    "ctrl+backspace": b"\x08",
    "ctrl+at": b"\x00",
    "ctrl+space": b"\x00",
    "ctrl+left_square_bracket": b"\x1b",
    "ctrl+backslash": b"\x1c",
    "ctrl+circumflex_accent": b"\x1e",
    "ctrl+underscore": b"\x1f",
    "ctrl+minus": b"\x1f",
    "ctrl+slash": b"\x1f",
    "ctrl+question_mark": b"\x7f",
}
_WORDS = {"ctrl+left": b"\x1bb", "ctrl+right": b"\x1bf"}
"""Textual cannot tell Alt+b from Ctrl+Left; a shell's line editing knows the first of them."""
_MODIFIERS = {"shift": 1, "alt": 2, "ctrl": 4}


def key_bytes(key: str, character: str | None, *, cursor_keys: bool = False) -> bytes:
    """Return what a terminal sends for Textual's `key`; empty for keys that have no bytes.

    `cursor_keys` says that the application asked for its own sequences of arrows, Home and End
    (DECCKM). A keypad's digits arrive as digits: no terminal tells them apart for us.
    """
    if key in _PLAIN:
        return _PLAIN[key]
    if key in _WORDS and not cursor_keys:
        return _WORDS[key]
    *modifiers, name = key.split("+")
    if not set(modifiers) <= set(_MODIFIERS):
        return b""
    if special := _special(name, sum(_MODIFIERS[one] for one in modifiers), cursor_keys):
        return special
    if "alt" in modifiers:
        rest = "+".join([one for one in modifiers if one != "alt"] + [name])
        if rest.startswith("shift+") and len(name) == 1:
            rest = name.upper()
        inner = key_bytes(rest, character if character or len(rest) > 1 else rest)
        return b"\x1b" + inner if inner else b""
    if modifiers == ["ctrl"] and len(name) == 1 and name.isascii() and name.isalpha():
        return bytes([ord(name.lower()) & 0x1F])
    return character.encode() if character else b""


def _special(name: str, modifiers: int, cursor_keys: bool) -> bytes:
    """Return the sequence of a key without a character, its modifiers as xterm counts them."""
    code = f"1;{modifiers + 1}" if modifiers else ""
    if name in _CURSOR:
        lead = "O" if cursor_keys and not modifiers else "["
        return f"\x1b{lead}{code}{_CURSOR[name]}".encode()
    if name in _FUNCTION:
        return f"\x1b{'[' if modifiers else 'O'}{code}{_FUNCTION[name]}".encode()
    if name in _TILDE:
        tail = f";{modifiers + 1}" if modifiers else ""
        return f"\x1b[{_TILDE[name]}{tail}~".encode()
    return b""


def paste_bytes(text: str, *, bracketed: bool) -> bytes:
    """Return what a terminal sends for pasted text; `bracketed` where the program asked for it."""
    typed = text.replace("\r\n", "\r").replace("\n", "\r")
    if bracketed:
        # A paste that holds the end mark would have its rest run as commands.
        return b"\x1b[200~" + typed.replace("\x1b", "").encode() + b"\x1b[201~"
    return typed.encode()

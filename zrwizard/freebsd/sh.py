"""POSIX sh text from argument lists: the only place where anything is quoted.

Every builder of this package returns text made here, fit for sh(1) of FreeBSD 13 to 15 and dash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*", re.ASCII)
_RESERVED = re.compile(
    r"if|then|else|elif|fi|do|done|case|esac|while|until|for|in|!|\{|\}", re.ASCII
)


def quote(word: str) -> str:
    """`word` as one sh word that stands for exactly these characters.

    Raises ValueError for a NUL, which no argument can carry.
    """
    if "\0" in word:
        raise ValueError("an argument cannot hold a NUL character")
    if _PLAIN.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def join(argv: Iterable[str]) -> str:
    """One simple command from its argument list. ValueError where there is no program name."""
    words = list(argv)
    if not words or not words[0]:
        raise ValueError("a command needs a program name")
    first = words[0]
    # A quoted first word can be neither an assignment nor a reserved word.
    if (_RESERVED.fullmatch(first) or "=" in first) and "\0" not in first:
        head = "'" + first.replace("'", "'\\''") + "'"
    else:
        head = quote(first)
    return " ".join([head, *map(quote, words[1:])])


def command(*argv: str) -> str:
    """`join` for arguments written out one by one."""
    return join(argv)


def pipeline(*commands: str) -> str:
    """The commands joined by pipes; the status is the last one's, as everywhere in POSIX sh."""
    return " | ".join(commands)


def all_of(*commands: str) -> str:
    """The commands joined by `&&`: each runs only if the one before succeeded."""
    return " && ".join(commands)


def any_of(*commands: str) -> str:
    """The commands joined by `||`: each runs only if the one before failed."""
    return " || ".join(commands)


def sequence(*commands: str) -> str:
    """The commands one after the other, whatever they return; the status is the last one's."""
    return "; ".join(commands)


def group(*commands: str) -> str:
    """The commands as one unit in the current shell, for a pipe or a redirection around them."""
    return "{ " + sequence(*commands) + "; }"


def keep_status(command_text: str, path: str) -> str:
    """The command as a group that leaves its exit status, a decimal line, in the file `path`.

    The way to learn that the left side of a pipe failed without relying on `pipefail`.
    """
    return group(command_text, f"echo $? > {quote(path)}")


def output_to(command_text: str, path: str, *, append: bool = False) -> str:
    """The command with its standard output going to the file `path`."""
    return f"{command_text} {'>>' if append else '>'} {quote(path)}"


def both_to(command_text: str, path: str, *, append: bool = False) -> str:
    """The command with standard output and error going to the file `path`."""
    return f"{output_to(command_text, path, append=append)} 2>&1"


def input_from(command_text: str, path: str) -> str:
    """The command reading its standard input from the file `path`."""
    return f"{command_text} < {quote(path)}"


def capture(command_text: str) -> str:
    """A double-quoted command substitution: one word, trailing newlines dropped."""
    return f'"$({command_text})"'


def same_text(command_text: str, expected: str) -> str:
    """Succeeds if the command prints exactly `expected` (trailing newlines apart)."""
    return f"[ {capture(command_text)} = {quote(expected)} ]"


def exists(path: str) -> str:
    """Succeeds if `path` exists, whatever it is."""
    return f"[ -e {quote(path)} ]"


def is_file(path: str) -> str:
    """Succeeds if `path` is a regular file that is not empty."""
    return f"[ -f {quote(path)} ] && [ -s {quote(path)} ]"


def write_text(path: str, text: str) -> str:
    """Writes exactly `text` into the file `path` with the builtin printf, visible to no ps(1)."""
    return output_to(f"printf %s {quote(text)}", path)


def timeout(seconds: int, command_text: str) -> str:
    """A simple command under timeout(1): status 124 after `seconds`, else the command's own."""
    if seconds < 1:
        raise ValueError("a time limit is at least one second")
    return f"timeout {seconds} {command_text}"


def on_host(ssh_argv: Iterable[str], command_text: str) -> str:
    """ssh running `command_text` on the other side, where its shell reads it once more."""
    return join([*ssh_argv, command_text])

r"""The shell's words, read strictly: plain ones and single-quoted ones, separated by one blank.

Nothing else that sh(1) knows is allowed, so nothing can be redirected, substituted, expanded,
globbed, joined or put in the background. What is read here is what a shell would run.
"""

from __future__ import annotations

import re

_PLAIN = r"[A-Za-z0-9_@%+:,./=-]"
# sh.quote writes a quote inside a word as '\'' : closed, an escaped quote, opened again.
_WORD = re.compile(rf"(?:{_PLAIN}|'[^'\0]*'|\\')+", re.ASCII)
_PIECE = re.compile(rf"({_PLAIN}+)|'([^'\0]*)'|(\\')", re.ASCII)
# Unquoted these would be no program's name: an assignment, or a word of the grammar of sh.
_NO_PROGRAM = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*=.*|if|then|else|elif|fi|do|done|case|esac|while|until|for|in|time",
    re.ASCII | re.DOTALL,
)


def words(text: str) -> tuple[str, ...] | None:
    """The words of `text` as sh(1) would pass them on; None where it holds anything else."""
    found: list[str] = []
    at = 0
    while True:
        match = _WORD.match(text, at)
        if not match or (not found and _NO_PROGRAM.fullmatch(match[0])):
            return None
        pieces = _PIECE.findall(match[0])
        found.append(
            "".join(plain or quoted or ("'" if mark else "") for plain, quoted, mark in pieces)
        )
        at = match.end()
        if at == len(text):
            return tuple(found)
        if text[at] != " ":
            return None
        at += 1

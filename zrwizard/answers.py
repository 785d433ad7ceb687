"""Answers files: TOML whose sections and keys are the dotted keys of a flow. No secrets in them."""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zrwizard.flows.base import Flow
from zrwizard.flows.moves import Answers, Key

MAX_BYTES = 1 << 20
PROPOSED: Mapping[str, frozenset[str]] = {
    "restore": frozenset(
        {
            "network.nic",
            "network.mode",
            "source.dataset",
            "source.snapshot",
            "source.boot_environment",
        }
    ),
    "server": frozenset({"server.host", "server.port"}),
}
"""By flow: keys without a fixed default whose question proposes what the survey found."""
_SECRET = re.compile(
    r"pass(?:word|phrase|wd)?s?\b|(?:^|[._-])(?:secret|private[._-]?key|pin)\b", re.IGNORECASE
)


class AnswersError(Exception):
    """An answers file that will not do: what is wrong with it, and what to do now."""

    def __init__(self, what: str, now: str) -> None:
        super().__init__(what)
        self.what = what
        self.now = now


def read(path: Path, flow: Flow) -> Answers:
    """Return the answers in the file at `path`, as text, by dotted key. Raises `AnswersError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnswersError(
            f"The answers file {path} cannot be read: {error.strerror}.",
            f"Make one with: zrwizard answers {flow.name} > {path}",
        ) from None
    if len(data) > MAX_BYTES:
        raise AnswersError(f"{path} is too large for an answers file.", "Give the right file.")
    try:
        tables = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise AnswersError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise AnswersError(
            f"{path} is not TOML: {error}.",
            'A text stands in quotes: key = "value"; a section in brackets: [target].',
        ) from None
    return check(dict(_flat("", tables)), flow, str(path))


def check(given: dict[str, Any], flow: Flow, where: str) -> Answers:
    """Return `given` as answers of `flow`; `where` is said in the messages of `AnswersError`."""
    known = [key.name for key in flow.keys]
    lists = {key.name for key in flow.keys if key.many}
    answers: dict[str, str] = {}
    for name, value in given.items():
        if name not in known:
            raise _unknown(name, known, flow, where)
        if name in lists and isinstance(value, list):
            answers[name] = ", ".join(_text(name, one, where) for one in value) or "none"
        else:
            answers[name] = _text(name, value, where)
    return Answers(answers)


def missing(flow: Flow, answers: Answers) -> tuple[Key, ...]:
    """Return the keys that have no answer, and for which nothing can be proposed."""
    proposed = PROPOSED.get(flow.name, frozenset())
    return tuple(
        key
        for key in flow.keys
        if key.default is None
        and key.name not in answers
        and key.instead not in answers
        and key.name not in proposed
    )


def template(flow: Flow) -> str:
    """Return a commented answers file for `flow`, itself valid TOML."""
    lines = [
        f"# Answers for `zrwizard {flow.name}`: {flow.title}",
        "#",
        "# A line that begins with # is a comment; such a key has the value that stands there.",
        "# Secrets do not belong here: give them as --secret NAME=file:PATH|env:VAR|fd:N.",
    ]
    tables: dict[str, list[Key]] = {}
    for key in flow.keys:
        tables.setdefault(key.name.rpartition(".")[0], []).append(key)
    for table, keys in tables.items():
        lines += ["", f"[{table}]"]
        for key in keys:
            lines += _lines(key)
    return "\n".join(lines) + "\n"


def _lines(key: Key) -> Iterator[str]:
    """Yield the lines of one key in a template."""
    name = key.name.rpartition(".")[2]
    yield from (f"# {line}" for line in textwrap.wrap(key.help, 96))
    if key.default is None:
        yield f"{name} = {_quoted(key.example)}"
        return
    if key.many:
        yield f"# Such as [{', '.join(map(_quoted, key.example.split(', ')))}]."
    elif key.example and key.example != key.default:
        yield f"# Such as {_quoted(key.example)}."
    yield f"# {name} = {_quoted(key.default)}"


def _flat(prefix: str, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _unknown(name: str, known: list[str], flow: Flow, where: str) -> AnswersError:
    if _SECRET.search(name):
        return AnswersError(
            f"{where}: {name} looks like a secret, and secrets are never kept in an answers file.",
            "Remove it there, and give it as --secret NAME=file:PATH, env:VARIABLE or fd:NUMBER.",
        )
    near = difflib.get_close_matches(name, known, 1, 0.4)
    if not near:
        last = name.rpartition(".")[2]
        near = [key for key in known if key.rpartition(".")[2] == last]
    hint = f"Did you mean {near[0]}? " if near else ""
    return AnswersError(
        f"{where}: there is no key {name}.",
        f"{hint}All keys: zrwizard answers {flow.name}",
    )


def _text(name: str, value: Any, where: str) -> str:
    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value)
        case _:
            raise AnswersError(
                f"{where}: {name} is neither a text nor a whole number.",
                f'Write {name.rpartition(".")[2]} = "…".',
            )


def _quoted(text: str) -> str:
    safe = "".join(
        f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char
        for char in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{safe}"'

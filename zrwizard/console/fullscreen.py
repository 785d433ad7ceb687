"""Programs that use the whole screen, told from what they draw: dialogs, pagers, editors, top."""

from __future__ import annotations

import re

_AS_ONE = re.compile(r"[^A-Za-z]+")
_FRAMES = re.compile(r"(?<![A-Za-z])[xqlmtujkwvn]+(?![A-Za-z])")
_PAGER = re.compile(
    r"--More--( ?\(.*\))?$"
    r"|(^|\s)\(END\) ?$"
    r"|(^|\s)(lines|byte) \d+([-/]\d+)*( \(END\)| \d+%)*$"
    r"|\(press h for help or q to quit\)$"
    r"|\(press RETURN\)$"
)
_EDITOR_MODE = re.compile(
    r"^-- (INSERT|REPLACE|VISUAL|SELECT|\(insert\)).*--"
    r"|^\S+: (unmodified|modified|new file|\d+ lines?, \d+ characters)"
    r'|^"[^"]+" (\[[^]]+\] ?)*(\d+L, \d+[BC]|\[New\])'
    r"|^- \S+ (\[\w+\] )?\d+/\d+ \d+%"
)
_EDITOR_HELP = re.compile(r"\^\[ \(escape\) menu|\^G (Get )?Help.*\^[OX] ")
_MONITOR = re.compile(
    r"^last pid: +\d+|^top - \d\d:\d\d:\d\d up |^Mem: \d+K used, \d+K free|^dT: +[\d.]+s +w: "
)
_PROMPT_LINE = re.compile(r"^(\S*@\S*:.*|\[\S+@.*\])?[#$%] ")


def in_installer_question(lines: list[str], at_cursor: str, row: int) -> bool:
    """Whether the cursor stands in the installer's first box: an old one may linger above it."""
    if len(at_cursor) < 8:
        return False
    return "begin an installation" in _words(lines[max(0, row - 6) : row + 7])


def offers_live_system(lines: list[str]) -> bool:
    """Whether the installer's third button is `Live System`, as from 15 on."""
    return "Live System" in " ".join(lines) or "use the live system" in _words(lines)


def _words(lines: list[str]) -> str:
    """Return the words of `lines` with frames, of whatever characters they are drawn, left out."""
    return _AS_ONE.sub(" ", _FRAMES.sub(" ", " ".join(lines)))


def in_installer(lines: list[str], at_cursor: str, row: int) -> bool:
    """Whether another dialog of the installer is open: its title stands in the first row."""
    inside = 1 < row < len(lines) - 1 and at_cursor[:2].isspace()
    return lines[0].strip() == "FreeBSD Installer" and inside


def in_pager(lines: list[str], at_cursor: str, row: int, *, standout: bool) -> bool:
    """Whether less(1) or more(1) waits for a key: its prompt is the last thing on the screen."""
    if any(line.strip() for line in lines[row + 1 :]):
        return False
    if at_cursor == ":":
        filled = sum(bool(line.strip()) for line in lines[:row]) > row // 2
        return row == len(lines) - 1 and filled and not _tildes(lines)
    return standout or _PAGER.search(at_cursor) is not None


def is_debugger_pager(lines: list[str], row: int) -> bool:
    """Whether ddb(4) waits at the end of a page: `--More--` alone, its own prompt above."""
    return lines[row].strip() == "--More--" and any(line.startswith("db> ") for line in lines[:row])


def in_editor(lines: list[str], row: int) -> bool:
    """Whether vi(1) or ee(1) is open: rows of `~`, its status line, or its help."""
    shown = [line for line in lines if line.strip()]
    if not shown or _below_is_a_prompt(lines, row):
        return False
    if any(_EDITOR_HELP.search(line) for line in lines[:8] + lines[-4:]):
        return True
    return _tildes(lines) or (_EDITOR_MODE.search(lines[-1]) is not None and row < len(lines) - 1)


def _tildes(lines: list[str]) -> bool:
    """Whether rows are marked as beyond the text's end, as vi(1) does (and less(1))."""
    return sum(line.strip() == "~" for line in lines) >= 2


def in_monitor(lines: list[str], row: int) -> bool:
    """Whether top(1) or gstat(8) is running: its header stands in the first rows."""
    head = any(_MONITOR.match(line) for line in lines[:2])
    return head and not any(_PROMPT_LINE.match(line) for line in lines[1:])


def _below_is_a_prompt(lines: list[str], row: int) -> bool:
    return row == len(lines) - 1 and any(_PROMPT_LINE.match(line) for line in lines[-4:])

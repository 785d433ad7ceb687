"""Whether the wizard can take a console back as it stands, in words for who has it in hand."""

from __future__ import annotations

import re

from zrwizard.console.states import State, classify
from zrwizard.console.vtstream import Vt

_LEAVE = {
    State.PASSWORD: "The console asks for a password. Answer it, or press ^C there.",
    State.PASSPHRASE: "The console asks for a passphrase. Answer it, or press ^C there.",
    State.HOST_KEY: "ssh asks about a host's key on the console. Answer it, or press ^C there.",
    State.USER_SHELL: "The shell there is not root's. Become root (su), or leave it (exit).",
    State.HALF_TYPED: "A half-typed command stands there. Run it, or erase it with ^U.",
    State.CONTINUATION: "An unfinished command stands there (>). Finish it, or press ^C there.",
    State.SEARCH: "A search in the shell's history is open there. Leave it with ^C.",
    State.PAGER: "A pager is open on the console. Leave it with q.",
    State.MONITOR: "A program such as top is open on the console. Leave it with q.",
    State.EDITOR: "{editor} is open on the console. {leave}",
    State.INSTALLER: "The installer is open on the console. Leave it for a shell.",
    State.BOOT_PROMPT: "The boot blocks ask what to boot. Boot the machine first.",
    State.LOADER_PROMPT: "The loader's prompt stands there. Type boot first.",
    State.MOUNTROOT: "The kernel asks for its root file system. Give it one first.",
    State.DEBUGGER: "The kernel's debugger stands there. Type c or reset first.",
    State.PANIC: "The kernel has panicked. Let the machine start again first.",
    State.HALTED: "The machine has halted. Let it start again first.",
}
_EDITORS = (
    (r"\^\[ \(escape\) menu", "ee", "Leave it with Esc and Enter."),
    (r"GNU nano|\^G (Get )?Help", "nano", "Leave it with ^X."),
    (r"", "vi", "Leave it with Esc and :q!"),
)
INTERRUPT = (State.HALF_TYPED, State.CONTINUATION, State.SEARCH)
"""States of a shell's own line, which ^C takes back to its prompt."""


def standing(vt: Vt) -> State:
    """Return the state that the screen shows; ask after some quiet only."""
    x, y = vt.cursor
    shown = [cell for cell in vt.grid.cells[y] if cell.data.strip()]
    before = [cell for cell in vt.grid.cells[y][:x] if cell.data.strip()]
    standout = bool(shown) and shown == before and all(cell.reverse for cell in shown)
    return classify(
        vt.lines(), vt.last_line(), y, heard=True, width=vt.grid.columns, standout=standout
    )


def refusal(vt: Vt) -> str:
    """Return why the console cannot go back now and what to do, "" where it can.

    A `# ` on the screen may be a line in an editor: a shell's prompt has nothing below it, and no
    shell leaves the terminal in the state of a full-screen program.
    """
    state = standing(vt)
    lines = vt.lines()
    if state is State.EDITOR:
        return _editor(lines)
    if state in _LEAVE:
        return _LEAVE[state]
    if vt.grid.alternate or (vt.full_screen and state in (State.ROOT_SHELL, State.UNKNOWN)):
        return "A full-screen program is open on the console. Leave it."
    if state is State.ROOT_SHELL and any(line.strip() for line in lines[vt.cursor[1] + 1 :]):
        return "There is text below the prompt, as in an editor. Leave it, or press ^L there."
    if state is State.UNKNOWN:
        return "The console shows no prompt that is known. Bring it to a root prompt (# )."
    return ""


def _editor(lines: list[str]) -> str:
    text = "\n".join(lines)
    for pattern, editor, leave in _EDITORS:
        if re.search(pattern, text):
            return _LEAVE[State.EDITOR].format(editor=editor, leave=leave)
    return ""

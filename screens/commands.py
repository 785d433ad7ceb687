"""One table row a command: its keys, footer text, palette entry and help at once."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN = {
    "escape": "Esc",
    "enter": "Enter",
    "question_mark": "?",
    "ctrl+right_square_bracket": "^]",
    "space": "Space",
    "slash": "/",
    "f1": "F1",
}


@dataclass(frozen=True, slots=True)
class Command:
    """What a key does. `name` calls the page's method `do_NAME`.

    `footer` is the word in the key bar (empty: not there), `title` the line in the list of
    actions, `help` the sentence under it. A command whose `keys` are all printable cannot be
    reached while a field is typed into, so those that matter there also have a control key.
    """

    name: str
    keys: tuple[str, ...]
    footer: str
    title: str
    help: str

    def shown(self, *, typing: bool = False) -> str:
        """Return the key as the key bar shows it; `typing` skips the keys a field would eat."""
        keys = [key for key in self.keys if not (typing and _printable(key))]
        return key_name(keys[0]) if keys else ""

    @property
    def all_shown(self) -> str:
        """Every key of the command, for the help page."""
        return " ".join(key_name(key) for key in self.keys)


def _printable(key: str) -> bool:
    return len(key) == 1 or key in {"question_mark", "slash", "space"}


def key_name(key: str) -> str:
    """Return how a key is written for people: `ctrl+o` is `^o`, `escape` is `Esc`."""
    if key in _SHOWN:
        return _SHOWN[key]
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    return key


HELP = Command(
    "help",
    ("question_mark", "f1", "ctrl+g", "ctrl+p"),
    "help",
    "Help and all actions",
    "Says what this page is for and lists every action; Enter there does the marked one.",
)
TRAFFIC = Command(
    "traffic",
    ("t", "ctrl+t"),
    "traffic",
    "Show or hide the traffic",
    "A pane with every command that was typed on the machine and what it answered.",
)
HANDS_ON = Command(
    "hands_on",
    ("ctrl+o", "o"),
    "by hand",
    "Take the console over by hand",
    "Type on the console yourself, between two commands of the wizard; ^] gives it back.",
)
QUIT = Command(
    "quit",
    ("q", "ctrl+q", "ctrl+c"),
    "quit",
    "Quit",
    "Leaves the wizard. A transfer on the machine goes on; the next start finds it again.",
)
BACK = Command(
    "back",
    ("escape", "b"),
    "back",
    "Back",
    "Goes to the question before this one; what was answered there is offered again.",
)
REDRAW = Command(
    "redraw",
    ("ctrl+l",),
    "",
    "Draw the screen again",
    "For a terminal that was disturbed by another program's output.",
)

COMMON = (HELP, TRAFFIC, HANDS_ON, REDRAW, QUIT)

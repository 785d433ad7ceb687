"""A field for a secret: nothing of it is drawn, nothing of it stays in a `str`."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from zrwizard.secrets import Secret


class SecretBox(Widget, can_focus=True):
    """Collects keys into bytes; shows only how many characters there are.

    `take` hands them over as a `Secret` and wipes the field.
    """

    DEFAULT_CSS = """
    SecretBox { height: 1; width: 1fr; }
    SecretBox:focus { text-style: reverse; }
    """

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._typed = bytearray()

    def render(self) -> Content:
        """Say how much was typed, never what."""
        count = len(self._typed.decode("utf-8", "replace"))
        if not count:
            return Content("[ nothing typed yet; it will not be shown ]")
        return Content(f"[ {count} character{'s' * (count != 1)} typed, not shown ]")

    def __len__(self) -> int:
        return len(self._typed)

    def __bool__(self) -> bool:
        return True

    def take(self, name: str) -> Secret:
        """Return what was typed as the secret `name`, and forget it here."""
        secret = Secret(name, bytes(self._typed))
        self.wipe()
        return secret

    def wipe(self) -> None:
        """Forget what was typed."""
        self._typed[:] = bytes(len(self._typed))
        self._typed.clear()
        self.refresh()

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Every printable key is typed text here, never a command."""
        return character is not None and character.isprintable()

    def on_key(self, event: events.Key) -> None:
        """Type, rub out, wipe (^U), submit."""
        if event.key == "enter":
            self.post_message(self.Submitted())
        elif event.key in {"backspace", "ctrl+h"}:
            while self._typed and self._typed.pop() & 0xC0 == 0x80:
                pass
        elif event.key == "ctrl+u":
            self.wipe()
        elif event.character is not None and event.is_printable:
            self._typed += event.character.encode()
        else:
            return
        event.stop()
        event.prevent_default()
        self.refresh()

    def on_paste(self, event: events.Paste) -> None:
        """Take a pasted secret, without its line ends."""
        self._typed += event.text.replace("\r", "").rstrip("\n").encode()
        event.stop()
        self.refresh()

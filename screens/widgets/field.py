"""A text field that takes its keys strictly in the order in which they were typed."""

from __future__ import annotations

from textual import events
from textual.widgets import Input


class Field(Input):
    """Textual's `Input`, quiet: no blinking cursor, which would be bytes for ever.

    Textual lets a key that is a binding (Backspace, Enter) bubble up before it is handled, while
    letters are handled at once; in a burst, as a serial line or tmux sends it, Backspace would
    overtake nothing and come last. Here the field's own bindings are handled in their turn.
    """

    def __init__(self, value: str = "", *, id: str | None = None) -> None:
        super().__init__(value, id=id, select_on_focus=False)
        self.cursor_blink = False

    async def on_key(self, event: events.Key) -> None:
        """Handle a key that is bound in the field now."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            event.stop()
            event.prevent_default()
            await self.run_action(binding.action)
            return

"""What the operator is told where a console stands at something that no key of ours is safe in."""

from __future__ import annotations

from zrwizard.console.errors import Unidentified
from zrwizard.console.screen import Screen
from zrwizard.console.states import State

TAKE_OVER = "Take the console over by hand, bring it to a root prompt, and give it back."

_TOLD: dict[State, tuple[str, str]] = {
    State.SILENT: (
        "The console is silent: it shows nothing and answers to no harmless key.",
        "Press Enter there yourself (take over by hand) and give it back; check that the machine "
        "uses this serial port as its console.",
    ),
    State.MOUNTROOT: (
        "The kernel found no root file system and asks for one (mountroot); nothing was typed.",
        "Take over by hand: `?` lists the disks that it knows, `.` waits a second, and "
        "`zfs:POOL/ROOT/BE` or `ufs:/dev/DISKpN` goes on. An empty line panics.",
    ),
    State.DEBUGGER: (
        "The kernel is in its debugger (db>), as after a panic; nothing was typed.",
        "Take over by hand: note what `bt` shows, then `reset` restarts the machine.",
    ),
    State.PANIC: (
        "The kernel has panicked and the machine does not restart.",
        "Note the lines above, then reset the machine; a key on this console would stop an "
        "automatic restart.",
    ),
    State.HALTED: (
        "The machine is halted; any key restarts it, so none was pressed.",
        "Press a key there by hand, or switch it on, and start again.",
    ),
    State.GOING_DOWN: (
        "The machine went down and has not come up again.",
        "Switch it on, and start again.",
    ),
    State.STARTING: (
        "The machine was starting, and has said no more on this console since.",
        "Its kernel may use the video console: restart it and choose `Cons: Dual (Serial primary)` "
        "in the loader's menu. Or something hangs while it starts: look at its screen.",
    ),
    State.EDITOR: (
        "An editor is open, and what was written in it may not be saved; nothing was typed.",
        "Take over by hand, save or leave it (vi: Esc :wq or Esc :q!), and give the console back.",
    ),
    State.INSTALLER: (
        "A dialog of the installer is open that is not its first question; nothing was typed.",
        "Take over by hand and leave the installer (Cancel, then Live CD or Shell), and give the "
        "console back at a prompt.",
    ),
    State.PASSPHRASE: (
        "The console asks for a passphrase, of an encrypted disk or key; nothing was typed.",
        "Take over by hand, type it, and give the console back at a prompt.",
    ),
    State.PASSWORD: (
        "The console asks for a password, and nothing shows whose; nothing was typed.",
        "Take over by hand and answer it, or wait until it gives up (login(1): 300 s).",
    ),
    State.HOST_KEY: (
        "An ssh(1) that runs there asks whether to trust a host; nothing was typed.",
        "Take over by hand, answer it or press ^C, and give the console back at a prompt.",
    ),
    State.LOADER_MENU: (
        "The loader's menu does not take the keys that lead on from it.",
        "Take over by hand: choose `Cons: Dual (Serial primary)`, and boot.",
    ),
    State.LOADER_PROMPT: (
        "The loader cannot boot from here.",
        "Take over by hand: `lsdev` shows what it can read, `show` how it is set; check the boot "
        "disk or the install media.",
    ),
    State.BOOT_PROMPT: (
        "The boot blocks find nothing to boot.",
        "Check the boot disk; or start the machine from FreeBSD's install media.",
    ),
}


def unidentified(state: State, screen: Screen) -> Unidentified:
    """Return the error that says what stands on the screen, and what can be done by hand."""
    what, now = _TOLD.get(
        state,
        (f"The console stands at a state that needs a hand ({state}); nothing was typed.", ""),
    )
    return Unidentified(what, now or TAKE_OVER, screen.text())


def again_and_again(state: State, screen: Screen) -> Unidentified:
    """Return the error for a state that comes back however it is answered."""
    if state in (State.LOADER_MENU, State.LOADER_PROMPT, State.BOOT_PROMPT):
        return unidentified(state, screen)
    return Unidentified(
        f"The console asks the same question again and again ({state}).", TAKE_OVER, screen.text()
    )


def does_not_move(screen: Screen) -> Unidentified:
    """Return the error for a screen that is not known and stands still."""
    return Unidentified(
        "The console shows nothing that is known, and does not move.", TAKE_OVER, screen.text()
    )

"""Where the machine's console is, and root's password there if it has one."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Input, Static

from screens.commands import BACK, Command
from screens.desk import Intent
from screens.page import Page
from screens.style import printable
from screens.widgets.field import Field
from screens.widgets.secretbox import SecretBox
from zrwizard.line import LineError, parse

EXAMPLES = (
    "telnet://192.0.2.7:4474           a terminal server, a BMC, a QEMU -serial",
    "ssh://root@192.0.2.7:22           a machine that already answers ssh",
    "serial:///dev/ttyU0?speed=115200  a serial cable on this computer",
    "local:                            a shell on this very machine",
)
LOOKING = (
    "Only commands that look are typed there, every one checked before; so the console is not "
    "taken over by hand either."
)
REHEARSAL = "rehearsal://"


class ConnectPage(Page):
    """Asks for the console's URL."""

    CSS_PATH = "connect.tcss"
    CRUMB = "Connect"
    TABLE = (
        Command("connect", ("enter",), "connect", "Connect", "Opens the console and looks at it."),
        Command(
            "password",
            ("ctrl+y",),
            "password",
            "Type a password for the console",
            "Only where the console asks for root's password: moves to its field.",
        ),
        BACK,
    )
    ABOUT = (
        "The machine is reached through its console, so that it needs neither a system nor a "
        "network. Type where the console is. The wizard looks at what the console shows before "
        "it types anything: a shell prompt, a login, the installer's first question and the "
        "single-user prompt are known.\n"
        "What can go wrong: nobody answers there, somebody else holds the console, or it shows "
        "something unknown. Nothing is typed then, and you come back here.\n"
        "The password is only needed where the console asks for one; it is typed there without "
        "an echo, and kept nowhere."
    )

    def __init__(self, intent: Intent, problem: str = "") -> None:
        super().__init__()
        self._intent = intent
        self._problem = problem

    def body(self) -> Iterable[Widget]:
        """Yield the two fields with their examples."""
        yield Static(f"{self._intent.title}: where is the machine's console?", classes="title")
        if self._intent.flow == "preview":
            yield Static(LOOKING, classes="help")
        problem = Static(printable(self._problem), classes="problem", id="problem", markup=False)
        problem.display = bool(self._problem)
        yield problem
        yield Static("", classes="blank")
        yield Static("Console:", classes="label")
        yield Field(self._intent.console, id="url")
        yield Static("", classes="blank")
        yield Static(
            "Root's password at the console, only if it asks (Tab goes here):", classes="label"
        )
        yield SecretBox(id="password")
        yield Static("", classes="blank")
        practice = f"{REHEARSAL}{self._intent.flow}"
        examples = (*EXAMPLES, f"{practice:33} simulated machines, for practice")
        yield Static("\n".join(examples), id="examples", markup=False)

    def mounted(self) -> None:
        """Start in the first field, or where the password is missing or wrong in the second."""
        wanted = "#password" if "password" in self._problem else "#url"
        self.query_one(wanted).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the first field connects."""
        event.stop()
        self.do_connect()

    def on_secret_box_submitted(self, event: SecretBox.Submitted) -> None:
        """Enter in the second one too."""
        event.stop()
        self.do_connect()

    def do_password(self) -> None:
        """Go to the password's field."""
        self.query_one("#password").focus()

    def do_connect(self) -> None:
        """Check the form of the URL, then begin."""
        url = self.query_one("#url", Input).value.strip()
        try:
            if not url.startswith(REHEARSAL):
                parse(url)
        except LineError as error:
            problem = self.query_one("#problem", Static)
            problem.update(printable(f"{error.what} {error.now}"))
            problem.display = True
            return
        box = self.query_one("#password", SecretBox)
        if len(box):
            self.zr.secrets.add(box.take("console"))
        self.zr.connect(url)

    def do_back(self) -> None:
        """Go home."""
        self.zr.go_home()

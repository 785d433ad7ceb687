"""How many streams come side by side: by what the link was measured to bring, or as told."""

from __future__ import annotations

from zrwizard.facts import ServerFacts
from zrwizard.flows.ask_several import Placement
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.choices import Carriage, Lanes, Login
from zrwizard.flows.moves import Choose, Look, Option
from zrwizard.flows.prepare_steps import link_steps
from zrwizard.flows.shapes import groups
from zrwizard.freebsd import size
from zrwizard.mover import lanes
from zrwizard.mover.measure import Link
from zrwizard.transfer.forest import Decomposition

MEASURED = "measured"
KEY = "source.streams"
_WORTH = 256 * 2**20
"""Bytes below which the seconds of measuring are not won back."""

_QUESTION = Choose(
    key=KEY,
    page="source",
    title="How many streams come side by side?",
    help="One stream cannot fill a long and fast link; on turning disks several are slower.",
    options=(
        Option(value=MEASURED, label="as measured on the link", recommended=True),
        *(Option(value=str(count), label=str(count)) for count in range(1, lanes.MOST + 1)),
    ),
    default=MEASURED,
)
"""Nobody is asked: the answers can name a number, should the measurement be wrong."""

_ALONE = Lanes()
_TOGETHER = "The streams wait for each other, or one has nearly everything: they come one by one."


def streams(
    talk: Talk, login: Login, carriage: Carriage, made: Decomposition, placed: Placement
) -> Lanes:
    """Return which streams of `made` come side by side; none where nothing is won by it."""
    wanted = talk.preset(_QUESTION, MEASURED)
    if wanted == "1":
        return _ALONE
    sized = carriage.sized(made.streams)
    if wanted != MEASURED:
        if carriage.whole:
            what = "A stream for everything is one stream."
            talk.refuse(_QUESTION, what, "Choose another way, or 1.")
        of = lanes.assign(sized, made.renames, int(wanted))
        return Lanes(of, "") if of else Lanes((), _TOGETHER)
    vdevs = len(groups(placed.shape, len(placed.places)))
    turning = any(place.disk.disk.rotationrate != "0" for place in placed.places)
    useless = carriage.whole or carriage.limit or carriage.total < _WORTH or (turning and vdevs < 2)
    if useless or lanes.assign(sized, made.renames, 2) is None:
        return _ALONE
    link = _measured(talk, login)
    if link is None:
        return Lanes((), "The link could not be measured: the streams come one by one.")
    count = lanes.number(link, data_vdevs=vdevs, rotating=turning)
    of = lanes.assign(sized, made.renames, count)
    found = _told(link)
    if of is None:
        return Lanes((), f"{found} the streams come one by one.")
    return Lanes(of, f"{found} {len(set(of) - {0})} streams come side by side.")


def _measured(talk: Talk, login: Login) -> Link | None:
    server: ServerFacts = talk.facts.server
    if server.link_of != login.name:
        where = f"{talk.facts.home}/link"
        steps = link_steps(login.session, where)
        talk.prepare("Prepare to measure the link", steps, "link", login)
        detail = (login.name, where)
        raise Due(Look("link", detail, "Measuring the link to the server, for some seconds"))
    return server.link


def _told(link: Link) -> str:
    return (
        f"Over the link one stream brings {size.human(int(link.one))} a second, two bring "
        f"{size.human(int(link.two))}, and a round trip takes {link.round_trip * 1000:.0f} ms:"
    )

"""The question whether the pool is encrypted, and with what passphrase."""

from __future__ import annotations

from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.geli_steps import PASSPHRASE
from zrwizard.flows.moves import Ask, Choose, EnterSecret, Option


def encrypted(talk: Talk) -> bool:
    """Return whether geli lies under the pool; then the passphrase was obtained. Raises `Due`."""
    question = Choose(
        key="target.geli",
        page="layout",
        title="Is the pool encrypted with geli?",
        help="The snapshots cannot tell whether the old disk was. An encrypted one asks for its "
        "passphrase on the console at every start.",
        options=(
            Option("no", "No", recommended=True),
            Option(
                "yes",
                "Yes, with a passphrase",
                detail="AES-XTS, 256 bits, the same passphrase for every disk. Swap stays plain.",
            ),
        ),
        default="no",
    )
    if talk.pick(question).value == "no":
        return False
    secret = EnterSecret(
        key=f"secret.{PASSPHRASE}",
        page="layout",
        title="Passphrase of the disks",
        help="Given to geli on the target and kept nowhere. Without it the restored data are lost.",
        secret=PASSPHRASE,
        twice=True,
    )
    if secret.key not in talk.answers:
        raise Due(Ask(secret))
    return True

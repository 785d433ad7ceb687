"""What both flows know of a disk that is encrypted with geli: its metadata, looked at and saved."""

from __future__ import annotations

from collections.abc import Mapping

from zrwizard.flows import shtext
from zrwizard.freebsd import geli, sh
from zrwizard.plan import Command, Danger, Fetch, Phase, Step


def is_sealed(provider: str) -> str:
    """Succeeds if the provider carries geli metadata, readable or not by our key."""
    return f"geli dump {sh.quote(provider)} >/dev/null 2>&1"


def has_no_seal(provider: str) -> str:
    """Leaves with 1 if the provider carries geli metadata already."""
    return (
        f"if {is_sealed(provider)}; then "
        + shtext.refuse(f"{provider} is encrypted with geli already, and not by this run.")
        + "; fi"
    )


def has_metadata(provider: str, more: Mapping[str, str]) -> str:
    """Succeeds if the provider's metadata have our cipher and sizes, and the fields of `more`."""
    wanted = {
        "ealgo": "AES-XTS",
        "keylen": str(geli.KEY_BITS),
        "sectorsize": str(geli.SECTOR),
        **more,
    }
    tests = " && ".join(f'v["{key}"] == "{value}"' for key, value in wanted.items())
    program = f'{{ sub(/:$/, "", $1); v[$1] = $2 }} END {{ exit !({tests}) }}'
    return f"geli dump {sh.quote(provider)} 2>/dev/null | awk {sh.quote(program)}"


def metadata_steps(
    provider: str, copy: str, name: str, look: str, *, whose: str, suffix: str = "", keep: str
) -> tuple[Step, ...]:
    """Return the steps that bring the metadata of `provider` to the operator's machine as `name`.

    `copy` is the file on the target that is removed again; `whose` and `suffix` tell disks apart
    in titles and ids; `keep` says what happens to the file here.
    """
    path = sh.quote(copy)
    return (
        Step(
            id=f"metadata{suffix}",
            phase=Phase.DISK,
            title=f"Save {whose} geli metadata",
            why="They stand in the disk's last sector only, and without them the key opens "
            "nothing. They are no secret.",
            action=Command(f"rm -f {path} && {geli.backup(provider, copy)}"),
            danger=Danger.CHANGES,
            look=look,
            proof=sh.is_file(copy),
        ),
        Step(
            id=f"metadata-fetch{suffix}",
            phase=Phase.DISK,
            title=f"Bring them to this machine, beside the {keep}",
            why="There they go into the escrow bundle with it."
            if keep == "key"
            else f"They are kept as {name}: if that sector is lost, geli restore writes it back.",
            action=Fetch(copy, name),
            danger=Danger.CHANGES,
            look=look,
        ),
        Step(
            id=f"metadata-forget{suffix}",
            phase=Phase.DISK,
            title="Remove the copy",
            why="Nothing of the keys stays behind.",
            action=Command(f"rm -f {path}"),
            danger=Danger.CHANGES,
            proof=f"[ ! -e {path} ]",
        ),
    )

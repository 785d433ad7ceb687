"""zpool-import(8) without a name: the pools that lie on the disks and could be imported."""

from __future__ import annotations

from dataclasses import dataclass

from . import text, vdev, zpool

TOOL = "zpool import"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pool that a scan found. `id` is its guid; sentences are joined to one line each."""

    name: str
    id: int
    state: str
    status: str
    action: str
    comment: str
    destroyed: bool
    vdevs: tuple[vdev.Vdev, ...]

    @property
    def importable(self) -> bool:
        """Whether zpool says that it can be imported at all."""
        return not self.action.startswith("The pool cannot be imported")

    @property
    def needs_force(self) -> bool:
        """Whether another system used it last and did not export it (`-f`)."""
        return "last accessed by another system" in self.status or "'-f' flag" in self.action

    def members(self) -> tuple[str, ...]:
        """The devices that hold it, as printed: `gpt/zfs0`, `vtbd0p3`."""
        return tuple(
            leaf.name for top in self.vdevs for leaf in top.leaves() if leaf.state is not None
        )


def parse(output: str) -> tuple[Candidate, ...]:
    """The pools of the listing, in its order. Raises ParseError. Facts B4.

    None for empty output: `no pools available to import` goes to stderr with status 0. The same
    sentence on stdout counts as none too, for callers that join both.
    """
    if output.strip() == "no pools available to import":
        return ()
    return tuple(map(_candidate, zpool.blocks(TOOL, output)))


def _candidate(block: zpool.Block) -> Candidate:
    state = block.need("state")
    return Candidate(
        name=block.need("pool"),
        id=text.whole(TOOL, "the pool's id", block.need("id")),
        state=state.removesuffix("(DESTROYED)").strip(),
        status=block.joined("status"),
        action=block.joined("action"),
        comment=block.joined("comment"),
        destroyed=state.endswith("(DESTROYED)"),
        vdevs=vdev.parse_tree(TOOL, block.config),
    )

"""zpool(8): pools listed and looked at, made, set, exported. Candidates: see `zpool_import`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from . import sh, text, vdev
from .errors import ParseError

_FIELD = re.compile(
    r" *(pool|id|state|status|action|comment|see|scan|checkpoint|remove|dedup|config|errors|"
    r"prior|upgrade|expand): ?(.*)"
)


@dataclass(frozen=True, slots=True)
class Pool:
    """One imported pool; sizes in bytes. Sizes are None for a pool that is unavailable."""

    name: str
    size: int | None
    allocated: int | None
    free: int | None
    health: str
    altroot: str | None


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """`zpool status` of one pool. `scan` has a line for each of scrub, resilver and their progress.

    `vdevs` is the pool's own row first, then headings such as `logs`.
    """

    name: str
    state: str
    status: str
    action: str
    scan: tuple[str, ...]
    vdevs: tuple[vdev.Vdev, ...]
    errors: str

    def members(self) -> tuple[str, ...]:
        """The devices and files that the pool is made of, in the order printed."""
        return tuple(
            leaf.name for top in self.vdevs for leaf in top.leaves() if leaf.state is not None
        )

    @property
    def healthy(self) -> bool:
        """Online, and no data errors known."""
        return self.state == "ONLINE" and self.errors == "No known data errors"


# --- commands ---------------------------------------------------------------------------------

LIST_COLUMNS = "name,size,allocated,free,health,altroot"


def list_pools() -> str:
    """Command: the imported pools, for `parse_list`."""
    return sh.command("zpool", "list", "-Hp", "-o", LIST_COLUMNS)


def status(pool: str | None = None) -> str:
    """Command: state and devices (with full paths) of one pool or all."""
    return sh.join(["zpool", "status", "-P", *([pool] if pool else [])])


def scan(seconds: int = 60) -> str:
    """Command: list the pools that could be imported; a bad disk can hang it, hence the limit."""
    return sh.timeout(seconds, sh.command("zpool", "import"))


def create(
    pool: str,
    *vdevs: str,
    options: Mapping[str, str],
    properties: Mapping[str, str],
    mountpoint: str = "none",
    force: bool = False,
) -> str:
    """Command: a pool on `vdevs`, with pool `options` (-o) and dataset `properties` (-O).

    `vdevs` are providers, and words such as mirror before those that belong together.

    `altroot` belongs into the options: without it and a mountpoint of none, a pool made on a
    read-only root exits 1 though it exists (facts C4).
    """
    words = ["zpool", "create", *(["-f"] if force else [])]
    words += [word for key, given in options.items() for word in ("-o", f"{key}={given}")]
    words += [word for key, given in properties.items() for word in ("-O", f"{key}={given}")]
    return sh.join([*words, "-m", mountpoint, pool, *vdevs])


def set_property(pool: str, name: str, given: str) -> str:
    """Command: set a pool property such as bootfs or comment."""
    return sh.command("zpool", "set", f"{name}={given}", pool)


def get_property(pool: str, name: str) -> str:
    """Command: the bare value of one pool property."""
    return sh.command("zpool", "get", "-Hp", "-o", "value", name, pool)


def export(pool: str) -> str:
    """Command: export; silent on success."""
    return sh.command("zpool", "export", pool)


def import_pool(pool: str, *, altroot: str, force: bool = False, read_only: bool = False) -> str:
    """Command: import without mounting anything (-N), below `altroot`.

    Both are always given: a received root would mount over the live one (restore-pitfalls).
    """
    words = ["zpool", "import", "-N", "-R", altroot]
    words += (["-f"] if force else []) + (["-o", "readonly=on"] if read_only else [])
    return sh.join([*words, pool])


def labelclear(provider: str) -> str:
    """Command: wipe old ZFS labels of a provider, `/dev/…`; fails where there are none."""
    return sh.command("zpool", "labelclear", "-f", provider)


# --- parsers ----------------------------------------------------------------------------------


def parse_list(output: str) -> tuple[Pool, ...]:
    """The rows of `list_pools`; none for empty output. Raises ParseError. Facts B4."""
    return tuple(_pool(line) for line in text.lines(output))


def _pool(line: str) -> Pool:
    name, total, allocated, free, health, altroot = text.cells("zpool list", line, 6)
    return Pool(
        name=name,
        size=_bytes("size", total),
        allocated=_bytes("allocated", allocated),
        free=_bytes("free", free),
        health=health,
        altroot=text.absent(altroot),
    )


def _bytes(what: str, cell: str) -> int | None:
    return None if cell == "-" else text.whole("zpool list", what, cell)


def parse_value(output: str) -> str | None:
    """The value of `get_property`; None for `-`, which is how an unset one reads."""
    return text.absent(text.one_line("zpool get", output))


def parse_status(output: str) -> tuple[PoolStatus, ...]:
    """Every pool of `zpool status`; none for empty output. Raises ParseError. Facts B4."""
    return tuple(map(_status, blocks("zpool status", output)))


def _status(block: Block) -> PoolStatus:
    return PoolStatus(
        name=block.need("pool"),
        state=block.need("state"),
        status=block.joined("status"),
        action=block.joined("action"),
        scan=tuple(block.fields.get("scan", ())),
        vdevs=vdev.parse_tree(block.tool, block.config),
        errors=block.joined("errors"),
    )


# --- the shape that status and import share ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """One pool's fields (lines by field name) and its configuration rows."""

    tool: str
    fields: dict[str, list[str]]
    config: list[str]

    def need(self, name: str) -> str:
        """A field that must be there; ParseError otherwise."""
        found = self.joined(name)
        if not found:
            raise ParseError(self.tool, f"no `{name}:` line", repr(self.fields))
        return found

    def joined(self, name: str) -> str:
        """The lines of a field as one sentence, empty where it is missing."""
        return " ".join(line for line in self.fields.get(name, ()) if line)


def blocks(tool: str, output: str) -> Iterator[Block]:
    """The blocks of zpool status or zpool import, one a pool. Raises ParseError.

    A field starts at its name whatever the indentation (2.3 indents import by one column less);
    lines that begin with a tab go on with it. The configuration stands between two blank lines.
    """
    block: Block | None = None
    name = ""
    in_config = False
    for raw in output.split("\n"):
        line = raw.rstrip("\r")
        if in_config and block is not None and line.startswith("\t"):
            block.config.append(line)
            continue
        if not line.strip():
            # The blank line right after `config:` belongs to it, the next one ends it.
            in_config = in_config and block is not None and not block.config
            continue
        field = _FIELD.fullmatch(line)
        if field and field[1] == "pool":
            if block is not None:
                yield block
            block = Block(tool, {}, [])
        if block is None:
            raise ParseError(tool, "a line stands before any pool", line)
        if field:
            name, in_config = field[1], field[1] == "config"
            block.fields.setdefault(name, []).append(field[2].strip())
        elif line[0] in "\t ":
            block.fields.setdefault(name, []).append(line.strip())
        else:
            raise ParseError(tool, "a line belongs to no field", line)
    if block is not None:
        yield block

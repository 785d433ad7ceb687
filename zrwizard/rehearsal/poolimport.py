"""zpool import: what could be imported, and importing it (facts/freebsd.md B4 and C4)."""

from __future__ import annotations

from zrwizard.rehearsal import vdevs
from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.geli import closed
from zrwizard.rehearsal.machine import Machine, Where
from zrwizard.rehearsal.zfsmount import mount_all
from zrwizard.rehearsal.zfsprops import POOL_DEFAULTS
from zrwizard.rehearsal.zfsstate import Pool


def options(
    args: list[str], with_value: str, repeated: str = ""
) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """Options anywhere among the operands; the `repeated` ones collect their values."""
    found: dict[str, str] = {}
    many: dict[str, list[str]] = {letter: [] for letter in repeated}
    rest: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in with_value or letter in repeated:
                value = letters or (words.pop(0) if words else "")
                if letter in repeated:
                    many[letter].append(value)
                else:
                    found[letter] = value
                break
            found[letter] = ""
    return found, many, rest


def labelled(m: Machine) -> list[tuple[Where, Pool]]:
    """Places that carry a pool's label."""
    seen, found = set(), []
    for where in m.places():
        pool = where.content.pool if where.offset in where.disk.contents else None
        key = (where.disk.name, where.offset)
        if pool is None or key in seen:
            continue
        if not vdevs.at(pool, where.disk.name, where.offset, whole=where.part is None):
            continue
        seen.add(key)
        found.append((where, pool))
    return found


def _candidates(m: Machine, *, destroyed: bool = False) -> list[Pool]:
    found: dict[int, Pool] = {}
    for _, pool in labelled(m):
        if pool.active_on != m.name and pool.destroyed == destroyed:
            found.setdefault(id(pool), pool)
    return list(found.values())


def _foreign(m: Machine, pool: Pool) -> bool:
    """Was it last used by another system and not exported?"""
    own = int(m.sysctls.get("kern.hostid", "0"))
    return not pool.exported and pool.last_hostid not in (0, own)


def import_pool(call: Call, args: list[str]) -> str:
    found, many, names = options(args, "RdcotTs", "o")
    m = call.machine
    pools = _candidates(m, destroyed="D" in found)
    if not names and "a" not in found:
        if not pools:
            raise Fail("no pools available to import\n", 0)
        return "\n".join(_offer(m, p) for p in pools)
    chosen = pools if "a" in found else [p for p in pools if names[0] in (p.name, str(p.guid))]
    if not chosen and "a" not in found:
        raise Fail(f"cannot import '{names[0]}': no such pool available\n")
    errors = ""
    for pool in chosen:
        errors += _import_one(m, pool, found, many["o"], names[1:])
    if errors:
        raise Fail(errors)
    return ""


def _import_one(
    m: Machine, pool: Pool, found: dict[str, str], props: list[str], new: list[str]
) -> str:
    name = new[0] if new else pool.name
    if name in m.pools:
        return (
            f"cannot import '{pool.name}': a pool with that name already exists\n"
            "use the form 'zpool import <pool | id> <newpool>' to give it a new name\n"
        )
    if _foreign(m, pool) and "f" not in found:
        return (
            f"cannot import '{pool.name}': pool was previously in use from another system.\n"
            f"Last accessed by {pool.last_host} (hostid={pool.last_hostid:x}) at "
            f"{m.clock.ctime(pool.last_access)}\n"
            "The pool can be imported, use 'zpool import -f' to import the pool.\n"
        )
    if vdevs.health(m, pool) == "UNAVAIL":
        return f"cannot import '{name}': one or more devices is currently unavailable\n"
    if any(a.name == pool.device and a.on_close for a in m.attached):
        # Import opens the device for writing and closes it once before it keeps it open.
        closed(m, pool.device)
        return f"cannot import '{name}': one or more devices is currently unavailable\n"
    pool.name, pool.altroot = name, found.get("R", "")
    pool.readonly = "readonly=on" in props
    for item in props:
        key, _, value = item.partition("=")
        if key == "altroot":
            pool.altroot = value
        elif key in POOL_DEFAULTS and key != "readonly":
            pool.props[key] = value
    if pool.altroot:
        pool.props["cachefile"] = "none"
    pool.destroyed = False
    activate(m, pool)
    if "N" in found:
        return ""
    complaints = mount_all(m, pool)
    return "".join(complaints) and "".join(complaints) + (
        "Import was successful, but unable to mount some datasets"
    )


def activate(m: Machine, pool: Pool) -> None:
    pool.active_on, pool.exported = m.name, False
    pool.last_host = m.hostname
    pool.last_hostid = int(m.sysctls.get("kern.hostid", "0"))
    pool.last_access = m.clock.now()
    pool.health = vdevs.health(m, pool)
    pool.load_guid = m.rng.getrandbits(63)
    m.pools[pool.name] = pool


def _offer(m: Machine, pool: Pool) -> str:
    foreign = _foreign(m, pool)
    found = list(vdevs.rows(m, pool))
    wide = vdevs.width(found)
    status = " status: The pool was last accessed by another system.\n" if foreign else ""
    action = (
        " action: The pool can be imported using its name or numeric identifier.\n"
        if not foreign
        else " action: The pool can be imported using its name or numeric identifier and\n"
        "\tthe '-f' flag.\n   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-EY\n"
    )
    comment = pool.props.get("comment", "")
    noted = f"comment: {comment}\n" if comment not in ("", "-") else ""
    state = found[0][2]
    text = (
        f"   pool: {pool.name}\n     id: {pool.guid}\n  state: {state}\n{status}{action}{noted}"
        " config:\n\n"
    )
    for depth, name, shown in found:
        if shown in ("", "AVAIL"):
            text += f"\t{'  ' * depth}{name}\n"
        else:
            why = "  cannot open" if shown == "UNAVAIL" and depth else ""
            text += f"\t{'  ' * depth + name:<{wide}s}  {shown}{why}\n"
    return text

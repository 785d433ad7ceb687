"""What the restored machine is now, written down; and which properties differ from the backup's.

The manifest is plain text that stands beside the run's journal: pool, datasets with their guids,
properties with their sources, tables, geli, system. Nothing of it is a secret. It may come over a
slow serial line: of the snapshots, which were proven one by one, it has the number and a checksum.
"""

from __future__ import annotations

from zrwizard.flows import boot_steps, geli_steps, shtext
from zrwizard.flows.choices import Choices
from zrwizard.flows.pool_steps import ALTROOT
from zrwizard.freebsd import geli, gpart, sh, ssh, zfs, zpool
from zrwizard.plan import Command, Danger, Fetch, Phase, Step

NAME = "manifest.txt"
_MOST = 40
"""Differences that are shown one by one."""
# A value may have tabs and line feeds, so it comes last, and what begins no row goes on with it.
_COMPARE = """
function row(   i) {
  k = substr($1, length(root) + 1) "\\t" $2
  v = $4
  for (i = 5; i <= NF; i++) v = v "\\t" $i
  if ($2 == "mountpoint" && index(v "/", alt "/") == 1) { v = substr(v, length(alt) + 1); if (v == "") v = "/" }
}
side == "names" { here[substr($1, length(root) + 1)] = 1; next }
NF >= 4 && ($1 == root || index($1, root "/") == 1) && $2 ~ /^[a-z0-9:._-]+$/ {
  row()
  if (side == "there") { if (!(k in a)) o[++n] = k; a[k] = v; own[k] = came && $3 == "local" } else b[k] = v
  next
}
k != "" { if (side == "there") a[k] = a[k] " " $0; else b[k] = b[k] " " $0 }
END {
  for (i = 1; i <= n; i++) {
    k = o[i]
    split(k, p, "\\t")
    if (!(p[1] in here)) continue
    m++
    if ((k in b) && a[k] == b[k]) { same++; continue }
    if (++d > most) continue
    who = own[k] ? " (the server\\047s own setting)" : ""
    if (index(ours, " " pool p[1] " " p[2] " ")) who = " (this restore set it)"
    t = t sprintf("%s %s is %s, and %s on the server%s\\n", pool p[1], p[2], (k in b) ? b[k] : "not set", a[k], who)
  }
  printf "%d of the %d properties that are set on the server have the same value here.\\n%s", same, m, t
  if (d > most) printf "%d more differ.\\n", d - most
}
"""  # noqa: E501 - a row is easier to read whole


def manifest_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the steps that compare, write down, and bring the manifest to the operator."""
    path, done = f"{choices.home}/{NAME}", shtext.finished(choices.home)
    return (
        Step(
            id="prove-properties",
            phase=Phase.PROOF,
            title="The properties are those of the backup",
            why="A stream brings what was set; what differs is said, and nothing is changed.",
            action=Command(_compare(choices), timeout=600),
            look=done,
        ),
        Step(
            id="manifest",
            phase=Phase.PROOF,
            title="Write down what was restored",
            why="The next restore, or whoever doubts this one, can be held against it.",
            action=Command(_written(choices), timeout=600),
            look=done,
        ),
        Step(
            id="manifest-fetch",
            phase=Phase.PROOF,
            title="Bring the manifest to this machine",
            why=f"It is kept as {NAME} beside the run's journal.",
            action=Fetch(path, NAME),
            danger=Danger.CHANGES,
            look=done,
        ),
    )


def _properties(root: str) -> str:
    columns = "name,property,source,value"
    kinds = "filesystem,volume"
    return sh.command(
        *(
            "zfs",
            "get",
            "-Hp",
            "-r",
            "-t",
            kinds,
            "-s",
            "local,received",
            "-o",
            columns,
            "all",
            root,
        )
    )


def _ours(choices: Choices) -> str:
    """The properties that this restore sets itself, as words between blanks."""
    names = boot_steps.environments(choices)
    rows = [f"{name} canmount" for name in names]
    rows += [f"{boot_steps.boot_environment(choices)} mountpoint"]
    return f" {'  '.join(rows)} "


def _compare(choices: Choices) -> str:
    there, here, names = (
        sh.quote(f"{choices.home}/properties-{n}") for n in ("there", "here", "names")
    )
    root, pool = sh.quote(choices.source.root), sh.quote(choices.pool)
    ask = ssh.run(choices.login.session, _properties(choices.source.root))
    came = f"-v came={choices.source.received:d}"
    settings = (
        f"{came} -v most={_MOST} -v pool={pool} -v ours={sh.quote(_ours(choices))} -v alt={ALTROOT}"
    )
    return shtext.lines(
        f"{ask} > {there} || {{",
        "  echo 'The server does not tell its properties: nothing was compared.'",
        "  exit 0",
        "}",
        f"{_properties(choices.pool)} > {here} || exit 1",
        f"{zfs.list_names(choices.pool)} > {names} || exit 1",
        f"awk -F '\\t' {settings} {sh.quote(_COMPARE)} side=names root={pool} {names} "
        f"side=there root={root} {there} side=here root={pool} {here}",
    )


def _written(choices: Choices) -> str:
    pool = choices.pool
    listed = sh.command(
        *("zfs", "list", "-Hp", "-r", "-t", "filesystem,volume"),
        *("-o", "name,type,guid,createtxg,origin", pool),
    )
    count = f"{zfs.list_guids(pool)} | wc -l"
    parts = [
        ("taken", "date -u +%FT%TZ"),
        ("from", sh.command("printf", "%s\\n", f"{choices.login.name} {choices.source.snapshot}")),
        (
            "system",
            f"cat {ALTROOT}/etc/hostid 2>/dev/null; {ALTROOT}/bin/freebsd-version 2>/dev/null",
        ),
        ("pool", sh.command("zpool", "get", "-Hp", "all", pool)),
        ("vdevs", zpool.status(pool)),
        ("datasets", listed),
        ("snapshots and the cksum of their guids", f"{count}; {zfs.guid_checksum(pool)}"),
        ("properties", _properties(pool)),
    ]
    for place in choices.every:
        parts.append((f"table of {place.disk.name}", gpart.backup(place.disk.name)))
        if choices.encrypted:
            name = geli_steps.provider(place)
            parts.append((f"geli of {name}", geli.dump(name)))
    wrote = [f"printf '\\n== %s\\n' {sh.quote(name)}; {text}" for name, text in parts]
    path = sh.quote(f"{choices.home}/{NAME}")
    return shtext.lines(
        "{", "printf 'zrwizard manifest 1\\n'", *wrote, f"}} > {path}", f"[ -s {path} ]"
    )

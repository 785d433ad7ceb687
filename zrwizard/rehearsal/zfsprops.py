"""Property tables of OpenZFS 2.1 as `zfs get all` and `zpool get all` list them."""

from __future__ import annotations

from zrwizard.rehearsal.sizes import words

# Settable file system properties and their defaults, in the order of `zfs get all`.
DEFAULTS: dict[str, str] = {
    "quota": "none",
    "reservation": "none",
    "recordsize": "131072",
    "mountpoint": "",
    "sharenfs": "off",
    "checksum": "on",
    "compression": "on",
    "atime": "on",
    "devices": "on",
    "exec": "on",
    "setuid": "on",
    "readonly": "off",
    "jailed": "off",
    "snapdir": "hidden",
    "aclmode": "discard",
    "aclinherit": "restricted",
    "canmount": "on",
    "xattr": "on",
    "copies": "1",
    "vscan": "off",
    "nbmand": "off",
    "sharesmb": "off",
    "refquota": "none",
    "refreservation": "none",
    "primarycache": "all",
    "secondarycache": "all",
    "logbias": "latency",
    "dedup": "off",
    "mlslabel": "none",
    "sync": "standard",
    "dnodesize": "legacy",
    "volmode": "default",
    "filesystem_limit": "none",
    "snapshot_limit": "none",
    "filesystem_count": "none",
    "snapshot_count": "none",
    "snapdev": "hidden",
    "acltype": "nfsv4",
    "context": "none",
    "fscontext": "none",
    "defcontext": "none",
    "rootcontext": "none",
    "relatime": "off",
    "redundant_metadata": "all",
    "overlay": "on",
    "encryption": "off",
    "keylocation": "none",
    "keyformat": "none",
    "pbkdf2iters": "0",
    "special_small_blocks": "0",
}
NOT_INHERITED = {
    "quota",
    "reservation",
    "canmount",
    "refquota",
    "refreservation",
    "encryption",
    "keylocation",
    "keyformat",
    "pbkdf2iters",
    "filesystem_limit",
    "snapshot_limit",
}
DATASET_ORDER = words("""
type creation used available referenced compressratio mounted quota reservation recordsize
mountpoint sharenfs checksum compression atime devices exec setuid readonly jailed snapdir
aclmode aclinherit createtxg canmount xattr copies version utf8only normalization
casesensitivity vscan nbmand sharesmb refquota refreservation guid primarycache
secondarycache usedbysnapshots usedbydataset usedbychildren usedbyrefreservation logbias
objsetid dedup mlslabel sync dnodesize refcompressratio written logicalused
logicalreferenced volmode filesystem_limit snapshot_limit filesystem_count snapshot_count
snapdev acltype context fscontext defcontext rootcontext relatime redundant_metadata overlay
encryption keylocation keyformat pbkdf2iters special_small_blocks
""")
SNAPSHOT_ORDER = words("""
type creation used referenced compressratio devices exec setuid createtxg xattr version
utf8only normalization casesensitivity nbmand guid primarycache secondarycache defer_destroy
userrefs objsetid mlslabel refcompressratio written logicalreferenced acltype context
fscontext defcontext rootcontext encryption
""")
READ_ONLY = {
    "type",
    "creation",
    "used",
    "available",
    "referenced",
    "compressratio",
    "mounted",
    "origin",
    "createtxg",
    "guid",
    "usedbysnapshots",
    "usedbydataset",
    "usedbychildren",
    "written",
    "usedbyrefreservation",
    "objsetid",
    "refcompressratio",
    "logicalused",
    "logicalreferenced",
    "receive_resume_token",
    "name",
    "version",
    "utf8only",
    "normalization",
    "casesensitivity",
    "defer_destroy",
    "userrefs",
    "clones",
    "encryptionroot",
    "keystatus",
    "volsize",
}
ALIASES = {
    "avail": "available",
    "refer": "referenced",
    "compress": "compression",
    "rdonly": "readonly",
    "recsize": "recordsize",
    "ratio": "compressratio",
    "checksum": "checksum",
    "reserv": "reservation",
    "refratio": "refcompressratio",
    "lused": "logicalused",
    "lrefer": "logicalreferenced",
    "usedds": "usedbydataset",
    "usedsnap": "usedbysnapshots",
    "usedchild": "usedbychildren",
    "usedrefreserv": "usedbyrefreservation",
}
NUMBERS = {
    "used",
    "available",
    "referenced",
    "usedbysnapshots",
    "usedbydataset",
    "usedbychildren",
    "usedbyrefreservation",
    "written",
    "logicalused",
    "logicalreferenced",
    "recordsize",
}
POOL_DEFAULTS: dict[str, str] = {
    "altroot": "-",
    "bootfs": "-",
    "delegation": "on",
    "autoreplace": "off",
    "cachefile": "-",
    "failmode": "wait",
    "listsnapshots": "off",
    "autoexpand": "off",
    "ashift": "0",
    "comment": "-",
    "multihost": "off",
    "autotrim": "off",
    "compatibility": "off",
    "version": "-",
    "readonly": "off",
}
POOL_ORDER = words("""
size capacity altroot health guid version bootfs delegation autoreplace cachefile failmode
listsnapshots autoexpand dedupratio free allocated readonly ashift comment expandsize
freeing fragmentation leaked multihost checkpoint load_guid autotrim compatibility
""")
POOL_READ_ONLY = {
    "size",
    "capacity",
    "health",
    "guid",
    "dedupratio",
    "free",
    "allocated",
    "expandsize",
    "freeing",
    "fragmentation",
    "leaked",
    "load_guid",
}
ACTIVE = {
    "lz4_compress",
    "spacemap_histogram",
    "enabled_txg",
    "hole_birth",
    "extensible_dataset",
    "embedded_data",
    "userobj_accounting",
    "project_quota",
    "spacemap_v2",
    "log_spacemap",
    "head_errlog",
}
FEATURES = words("""
async_destroy empty_bpobj lz4_compress multi_vdev_crash_dump spacemap_histogram enabled_txg
hole_birth extensible_dataset embedded_data bookmarks filesystem_limits large_blocks
large_dnode sha512 skein edonr userobj_accounting encryption project_quota device_removal
obsolete_counts zpool_checkpoint spacemap_v2 allocation_classes resilver_defer bookmark_v2
redaction_bookmarks redacted_datasets bookmark_written log_spacemap livelist device_rebuild
zstd_compress draid zilsaxattr head_errlog blake3
""")
_NOT_21 = {"zilsaxattr", "head_errlog", "blake3"}
_NOT_20 = _NOT_21 | {"draid"}
_NOT_12 = _NOT_20 | {
    "livelist",
    "device_rebuild",
    "zstd_compress",
    "redaction_bookmarks",
    "redacted_datasets",
    "bookmark_written",
    "log_spacemap",
    "bookmark_v2",
    "encryption",
    "project_quota",
    "userobj_accounting",
    "large_dnode",
    "edonr",
    "resilver_defer",
    "allocation_classes",
}
COMPATIBILITY_FILES = words("""
2018 2019 2020 2021 compat-2018 compat-2019 compat-2020 compat-2021 freebsd-11.0
freebsd-11.1 freebsd-11.2 freebsd-11.3 freebsd-11.4 freebsd-12.0 freebsd-12.1 freebsd-12.2
freenas-11.0 freenas-11.1 freenas-11.2 freenas-11.3 freenas-9.10.2 grub2 openzfs-2.0-freebsd
openzfs-2.0-linux openzfs-2.1-freebsd openzfs-2.1-linux openzfsonosx-1.7.0
openzfsonosx-1.8.1 openzfsonosx-1.9.3 openzfsonosx-1.9.4 truenas-12.0 ubuntu-18.04
ubuntu-20.04 zol-0.6.1 zol-0.6.4 zol-0.6.5 zol-0.7 zol-0.8
""")


def features_of(compatibility: str) -> dict[str, str]:
    """Feature states of a pool made with a `compatibility` value (`off` enables all)."""
    if compatibility in ("off", "-", ""):
        left_out: set[str] = set()
    elif "2.1" in compatibility:
        left_out = _NOT_21
    elif "2.0" in compatibility or "2021" in compatibility:
        left_out = _NOT_20
    else:
        left_out = _NOT_12
    return {
        f: "disabled" if f in left_out else "active" if f in ACTIVE else "enabled" for f in FEATURES
    }

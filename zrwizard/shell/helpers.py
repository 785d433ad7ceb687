"""The sh functions that live on the target, and the lines that carry them there.

They are plain POSIX sh (FreeBSD sh, dash, busybox ash, bash) and need cksum, wc, dd, awk and one
of b64decode(1) or base64(1), all of them in FreeBSD's base system. A frame is
``0x1E kind fields 0x1F``: the text that is typed has ``\\036``, never the byte, so that an echo
cannot be taken for an answer.

======= ===================================== =====================================
typed   meaning                               answer
======= ===================================== =====================================
zc      check one short command, run it once  S id S id … E id:rc:255-rc:sizes:id
zp      keep part n of a longer one           P id:n, or N id (damaged)
zx      check the parts and run them, once    as zc
zk      keep part n of a secret               as zp
zy      check both, run once, fed the secret  as zc
zu      forget the parts of a secret          -
zq      say the last status again             E …, or R id (was interrupted)
zw      add the parts to an upload            U name:offset:size:sum
zg      give some blocks of an output file    G f:n:count:cksum:size … H the same
zd      give one block in numbered lines      D file:block:line:length:base64 … C …
zz      compress an output file               Z file:cksum size
zv      are you there                         V token:nonce
zt      since when is the machine up          T nonce:last id:cksum size:sum
zh      be a shell for people again           (a prompt)
======= ===================================== =====================================

The sum in T and U is cksum(1)'s of what stands before it: their numbers are compared with nothing.
A line is typed as ``{ … ;}``: the rest of one whose beginning was lost is a syntax error, and a
shell runs nothing of a line that it cannot parse. The words of base64 and those of `word` are no
commands, nor are their ends, should all that stands before them be lost. What only helpers call
begins with `_`: one damaged byte makes no typed name of it, which could run a command again, and
each of those that change something has a checksum, or the token, of its own.

The parts of a secret that a command is fed with are variables of the shell, from the first of them
until the command has ended. `printf` is a builtin everywhere, so that they reach no argument list,
and bash keeps a here-document in a file where it finds it too large for a pipe: zk has none.

^C is ignored by the shell itself, since busybox' takes it for the end of its input, and deadly for
what it runs.
"""

from __future__ import annotations

from zrwizard.cksum import cksum
from zrwizard.shell.frames import FACTOR, PRIME

BLOCK = 1536
"""Bytes of an output that travel, and are checked, together."""
INLINE = 1200
"""Bytes up to which outputs come along with the end frame, in an A (as they are) or B frame."""
MOST_PARTS = 2200
"""Parts that one command, or a secret, may have: 64 KiB on a line that takes short ones only.

A damaged count must not keep the target busy."""

FUNCTIONS = r"""umask 077
_id=- _rc=- _so=0 _oc=0 _se=0 _ec=0 _sn=0
if [ -r "$_h/last" ]; then read -r _id _rc _so _oc _se _ec <"$_h/last"; fi
case $_id in ??*) ;; *) _id=- _rc=-;; esac
_n() { printf '\036N%.8s\037' "$1"; }
_f() { printf '\036%s%s:%s\037' "$1" "$2" "$(printf %s "$2" | cksum)"; }
_j() { _j=0
while [ "$_j" -lt "$2" ]; do eval "printf '%s\\n' \"\$_$1$_j\""; _j=$((_j+1)); done; }
zp() { _k=$(cksum <<zp
$1:$2:$4
zp
)
if [ $# -eq 4 ] && [ "${_k%% *}" = "$3" ]; then eval "_p$2=\$4"; printf '\036P%s:%s\037' "$1" "$2"
else _n "$1"; fi; }
zk() { _k=$(printf '%s\n' "$1:$2:$4" | cksum)
if [ $# -eq 4 ] && [ "${_k%% *}" = "$3" ]; then eval "_s$2=\$4"
if [ "$2" -ge "$_sn" ]; then _sn=$(($2+1)); fi; printf '\036P%s:%s\037' "$1" "$2"
else _n "$1"; fi; }
zu() { while [ "$_sn" -gt 0 ]; do _sn=$((_sn-1)); unset "_s$_sn"; done; }
zq() { case $_rc in
-) printf '\036R%s\037' "$_id";;
*) _k=0; for _j in "$_rc" "$_so" "$_oc" "$_se" "$_ec"; do
_k=$(((_k+_j)%@PRIME@*@FACTOR@%@PRIME@)); done
printf '\036E%s:%03d:%03d:%d:%d:%d:%d:%d:%s\037' "$_id" "$_rc" $((255-_rc)) \
"$_so" "$_oc" "$_se" "$_ec" "$_k" "$_id";;
esac; }
zc() { if [ "$1" = "$_id" ]; then zq; return; fi
_k=$(cksum <<zc
$1:$3:$4
zc
)
if [ $# -ne 4 ] || [ "${_k%% *}" != "$2" ]; then _n "$1"; return; fi
_c=$(printf '%b' "$4"); _c=${_c%,}; _r "$1" "$3"; }
zx() { if [ "$1" = "$_id" ]; then zq; return; fi
if [ $# -ne 4 ] || [ "$2" -gt @MOST_PARTS@ ]; then _n "$1"; return; fi
_c=$(_j p "$2" | $_dec; echo .); _c=${_c%.}
_k=$(printf '%s' "$1:$4:$_c" | cksum)
if [ "${_k%% *}" != "$3" ]; then _n "$1"; return; fi
_r "$1" "$4"; }
zy() { if [ "$1" = "$_id" ]; then zu; zq; return; fi
if [ $# -ne 5 ] || [ "$2" -gt @MOST_PARTS@ ] || [ "$4" -gt @MOST_PARTS@ ]; then _n "$1"; return; fi
_c=$(_j p "$2" | $_dec; echo .); _c=${_c%.}
_k=$(printf '%s' "$1:f:$4:$5:$_c" | cksum)
if [ "${_k%% *}" != "$3" ]; then _n "$1"; return; fi
_k=$(_j s "$4" | $_dec | cksum)
if [ "${_k%% *}" != "$5" ]; then _n "$1"; return; fi
_n=$4; _r "$1" f; }
_l() { { echo "$_id $1" >"$_h/last"; } 2>/dev/null; }
_r() { _id=$1 _m=$2 _rc=- _so=0 _oc=0 _se=0 _ec=0
_l -
printf '\036S%s\037\036S%s\037' "$1" "$1"
case $_m in
d) (trap - INT; eval "$_c") </dev/null >"$_h/o" 2>"$_h/e"; _rc=$?; _b;;
f) (trap - INT; { _j s "$_n" | $_dec; } 2>/dev/null | (zu; eval "$_c")) >"$_h/o" 2>"$_h/e"
_rc=$?; zu; _b;;
t) (trap - INT; eval "$_c"); _rc=$?; zq;;
s) _s;;
esac
_l "$_rc $_so $_oc $_se $_ec"
zq
case $_m in d|f) if [ $((_so+_se)) -le @INLINE@ ]; then _i o "$_so"; _i e "$_se"; fi;; esac; }
_b() { if [ -s "$_h/o" ] || [ -s "$_h/e" ]; then set -- $(cksum "$_h/o" "$_h/e")
_oc=$1 _so=$2 _ec=$4 _se=$5; fi; }
_s() { rm -f "$_h/f" "$_h/e"; mkfifo "$_h/f"; stty -opost
printf '\036X%s\037\036X%s\037' "$_id" "$_id"
(trap - INT; cksum <"$_h/f" >"$_h/k" &
{ (eval "$_c") </dev/null 2>"$_h/e"; echo $? >"$_h/r"; } | tee "$_h/f"; wait)
printf '\036Y%s\037' "$_id"; stty opost
read -r _rc <"$_h/r"; read -r _oc _so <"$_h/k"
if [ -s "$_h/e" ]; then set -- $(cksum <"$_h/e"); _ec=$1 _se=$2; fi; }
_i() { if [ "$2" -eq 0 ]; then return; fi
IFS= read -r _l <"$_h/$1"
case $_l in *[!A-Za-z0-9\ ./:_,+=@%-]*) ;; *) if [ $(($2-${#_l})) -lt 2 ]; then
printf '\036A%s:%s\037' "$1" "$_l"; return; fi;; esac
printf '\036B%s:' "$1"; $_enc <"$_h/$1"; printf '\037'; }
zw() { _k=$(printf %s "$1:$2:$3:$4" | cksum)
if [ $# -ne 5 ] || [ "${_k%% *}" != "$5" ]; then _n "$1"; return; fi
_j p "$2" | $_dec >"$_h/c"; set -- "$@" $(cksum <"$_h/c")
_n=$(wc -c <"$_h/up-$1"); _n=$((_n))
if [ "$6" = "$4" ] && [ "$_n" -eq "$3" ]; then
cat "$_h/c" >>"$_h/up-$1"; _n=$(wc -c <"$_h/up-$1"); _n=$((_n)); fi
rm -f "$_h/c"; _f U "$1:$3:$_n"; }
zg() { dd if="$_h/$1" bs=@BLOCK@ skip="$2" count="$3" 2>/dev/null >"$_h/c"
set -- "$1:$2:$3" $(cksum <"$_h/c")
printf '\036G%s:%s:%s\037' "$1" "$2" "$3"; $_enc <"$_h/c"
printf '\036H%s:%s:%s\037' "$1" "$2" "$3"; }
zd() { dd if="$_h/$1" bs=@BLOCK@ skip="$2" count=1 2>/dev/null >"$_h/c"
$_enc <"$_h/c" | awk -v f="$1:$2" '{printf "\036D%s:%d:%d:%s\037\n",f,NR,length($0),$0}'
set -- "$1:$2:$3" "$(cksum <"$_h/c")"
printf '\036C%s:%s\037\036C%s:%s\037' "$1" "$2" "$1" "$2"; }
zz() { gzip -9c <"$_h/$1" >"$_h/z"; printf '\036Z%s:%s\037' "$1" "$(cksum <"$_h/z")"; }
zt() { _f T "$1:$_id:$( { sysctl -n kern.boottime ||
cat /proc/sys/kernel/random/boot_id; } 2>/dev/null | cksum)"; }
zv() { printf '\036V%s:%s\037' "$_tok" "$1"; }
zh() { if [ "$1" != "$_tok" ]; then _n "$1"; return; fi
trap - INT; PS1='# ' PS2='> ' HISTSIZE=100; stty echo opost rows 24 cols 80
set -o emacs 2>/dev/null; }
trap '' INT"""

# An unset HISTFILE is ~/.sh_history to FreeBSD's sh, which writes what was typed into it when it
# ends (facts A9): an empty one is none.
QUIET = (
    "cd /; set +o emacs +o vi; unset ENV IFS; HISTFILE= HISTSIZE=0 PS1= PS2=; "
    "stty -echo opost cols 250"
)
# Without quotes where it can be: a lost one would leave the shell waiting for its twin.
CARRIER = (
    "k(){ A=$(printf %s:%s $1 $3|cksum);A=${A%% *};"
    "test $A = $2&&eval Z$1=\\$3||A=0;printf \\\\036K%s:%s\\\\037 $1 $A;}"
)
DECODERS = {"b64decode": "b64decode -r", "base64": "base64 -d"}
DECODER = (
    "D=none;test $(echo YWJj|base64 -d 2>/dev/null)x = abcx&&D=base64;"
    "test $(echo YWJj|b64decode -r 2>/dev/null)x = abcx&&D=b64decode;"
    "printf \\\\036B%s:%s\\\\037 $D $D"
)
WHOLE = "w"
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,+@%=-")


def line(text: str) -> str:
    """Return `text` as it is typed: whole, or not a line that a shell would run."""
    return f"{{ {text} ;}}"


def word(data: bytes) -> str:
    r"""Return `data` as one word without a character that means anything to a shell.

    `printf %b` makes it `data` again; a byte that is not plain is typed as ``\\0ooo``. It ends in
    a comma, as no command does.
    """
    plain = (chr(byte) if byte in _PLAIN else f"\\\\0{byte:03o}" for byte in data)
    return "".join(plain) + ","


def typed(data: bytes) -> str:
    """Return the word as the shell sees it, which is what its checksum is taken of."""
    return word(data).replace("\\\\", "\\")


def program(token: str, home: str, decoder: str) -> str:
    """Return the whole text that the target evaluates: settings first, then the functions."""
    encoder = "b64encode -r x" if decoder.startswith("b64") else "base64"
    settings = f"_tok={token} _h={home} _dec='{decoder}' _enc='{encoder}'\n"
    make_home = (
        'mkdir -m 700 "$_h" 2>/dev/null || '
        '{ [ -d "$_h" ] && [ ! -h "$_h" ] && [ -O "$_h" ]; } || _h=\n'
    )
    functions = FUNCTIONS
    numbers = {"BLOCK": BLOCK, "INLINE": INLINE, "MOST_PARTS": MOST_PARTS}
    for name, value in (numbers | {"PRIME": PRIME, "FACTOR": FACTOR}).items():
        functions = functions.replace(f"@{name}@", str(value))
    return settings + make_home + functions


def carried(name: str, piece: str) -> int:
    """Return the checksum that the target's `k` prints for a piece."""
    return cksum(f"{name}:{piece}".encode())


def assemble(count: int, decoder: str) -> str:
    """Return the line that joins `count` pieces and reports the whole's checksum."""
    return (
        f"i=0;Z=;while test $i -lt {count};do eval Z=\\$Z\\\\ \\$Z$i;i=$((i+1));done;"
        f"Z{WHOLE}=$(for x in $Z;do echo $x;done|{decoder});"
        f'A=$(printf %s "{WHOLE}:$Z{WHOLE}"|cksum);printf \\\\036K%s:%s\\\\037 {WHOLE} ${{A%% *}}'
    )

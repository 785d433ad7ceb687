"""The sh functions that live on the target, and the lines that carry them there.

They are plain POSIX sh (FreeBSD sh, dash, busybox ash, bash) and need cksum, wc, dd, awk and one
of b64decode(1) or base64(1), all of them in FreeBSD's base system. A frame is
``0x1E kind fields 0x1F``: the text that is typed has ``\\036``, never the byte, so that an echo
cannot be taken for an answer.

======= ===================================== =====================================
typed   meaning                               answer
======= ===================================== =====================================
zp      keep part n of command id             P id:n, or N id (damaged)
zx      check the parts and run them, once    S id S id … E id:rc:255-rc:o:e:o+e:id
zq      say the last status again             E …, or R id (was interrupted)
zf      write the parts to a file             U id:cksum size
zg      give 1,536 bytes of an output file    D file:chunk:line:length:base64 … C …
zz      compress an output file               Z file:cksum size
zv      are you there                         V token:nonce
zh      be a shell for people again           (a prompt)
======= ===================================== =====================================
"""

from __future__ import annotations

import base64

from zrwizard.cksum import cksum

CHUNK = 1536
"""Bytes of an output that one `zg` gives."""
INLINE = 1200
"""Bytes up to which outputs come along with the end frame."""
MOST_PARTS = 2000
"""Parts that one command or file may have; a damaged count must not keep the target busy."""

FUNCTIONS = r"""umask 077
_id=- _rc=- _so=0 _se=0
zj() { _j=0
while [ "$_j" -lt "$1" ]; do eval "printf '%s\\n' \"\$_p$_j\""; _j=$((_j+1)); done; }
zp() { _k=$(printf %s "$1:$2:$4" | cksum)
if [ "${_k%% *}" = "$3" ]; then eval "_p$2=\$4"; printf '\036P%s:%s\037' "$1" "$2"
else printf '\036N%s\037' "$1"; fi; }
zq() { case $_rc in
-) printf '\036R%s\037' "$_id";;
*) printf '\036E%s:%03d:%03d:%d:%d:%d:%s\037' "$_id" "$_rc" $((255-_rc)) \
"$_so" "$_se" $((_so+_se)) "$_id";;
esac; }
zx() { if [ "$1" = "$_id" ]; then zq; return; fi
if [ $# -ne 4 ] || [ "$2" -gt @MOST_PARTS@ ]; then printf '\036N%s\037' "$1"; return; fi
_c=$(zj "$2" | $_dec; echo .); _c=${_c%.}
_k=$(printf %s "$1:$4:$_c" | cksum)
if [ "${_k%% *}" != "$3" ]; then printf '\036N%s\037' "$1"; return; fi
_id=$1 _rc=- _so=0 _se=0
printf '\036S%s\037\036S%s\037' "$1" "$1"
case $4 in
d) (eval "$_c") </dev/null >"$_h/o" 2>"$_h/e"; _rc=$?
set -- $(wc -c "$_h/o" "$_h/e"); _so=$1 _se=$3
zq
if [ $((_so+_se)) -le @INLINE@ ]; then
if [ "$_so" -gt 0 ]; then zg o 0; fi
if [ "$_se" -gt 0 ]; then zg e 0; fi
fi;;
t) (eval "$_c"); _rc=$?; zq;;
esac; }
zf() { if [ $# -ne 2 ] || [ "$2" -gt @MOST_PARTS@ ]; then printf '\036N%s\037' "$1"; return; fi
zj "$2" | $_dec >"$_h/u"; printf '\036U%s:%s\037' "$1" "$(cksum <"$_h/u")"; }
zg() { dd if="$_h/$1" bs=@CHUNK@ skip="$2" count=1 2>/dev/null >"$_h/c"
$_enc <"$_h/c" | awk -v f="$1:$2" '{printf "\036D%s:%d:%d:%s\037\n",f,NR,length($0),$0}'
printf '\036C%s:%s:%s\037' "$1" "$2" "$(cksum <"$_h/c")"; }
zz() { gzip -9c <"$_h/$1" >"$_h/z"; printf '\036Z%s:%s\037' "$1" "$(cksum <"$_h/z")"; }
zv() { printf '\036V%s:%s\037' "$_tok" "$1"; }
zh() { trap - INT; PS1='# ' PS2='> '; stty echo; set -o emacs 2>/dev/null; }
trap 'printf "\036I%s\037" "$_tok"' INT"""

QUIET = "set +o emacs +o vi; unset ENV HISTFILE; PS1= PS2=; stty -echo cols 250"
CARRIER = (
    'k(){ A=$(printf %s "$1:$2"|cksum);eval "Z$1=\\$2";'
    'printf \'\\036K%s:%s\\037\' "$1" "${A%% *}";}'
)
DECODER = (
    "D='b64decode -r';[ \"$(echo YWJj|$D 2>/dev/null)\" = abc ]||D='base64 -d';"
    '[ "$(echo YWJj|$D 2>/dev/null)" = abc ]||D=none;printf \'\\036B%s\\037\' "$D"'
)
WHOLE = 900


def program(token: str, home: str, decoder: str) -> str:
    """Return the whole text that the target evaluates: settings first, then the functions."""
    encoder = "b64encode -r x" if decoder.startswith("b64") else "base64"
    settings = f"_tok={token} _h={home} _dec='{decoder}' _enc='{encoder}'\n"
    make_home = (
        'mkdir -m 700 "$_h" 2>/dev/null || '
        '{ [ -d "$_h" ] && [ ! -h "$_h" ] && [ -O "$_h" ]; } || _h=\n'
    )
    functions = FUNCTIONS
    for name, value in (("CHUNK", CHUNK), ("INLINE", INLINE), ("MOST_PARTS", MOST_PARTS)):
        functions = functions.replace(f"@{name}@", str(value))
    return settings + make_home + functions


def pieces(text: str, width: int) -> list[str]:
    """Return `text` as base64 in pieces of at most `width` characters, whole groups each."""
    encoded = base64.b64encode(text.encode()).decode()
    return [encoded[at : at + width] for at in range(0, len(encoded), width)]


def carried(number: int, piece: str) -> int:
    """Return the checksum that the target's `k` prints for a piece."""
    return cksum(f"{number}:{piece}".encode())


def assemble(count: int) -> str:
    """Return the line that joins `count` pieces and reports the whole's checksum."""
    return (
        f'i=0;Z=;while [ $i -lt {count} ];do eval "Z=\\"\\$Z \\$Z$i\\"";i=$((i+1));done;'
        f'Z=$(for x in $Z;do echo $x;done|$D);k {WHOLE} "$Z"'
    )

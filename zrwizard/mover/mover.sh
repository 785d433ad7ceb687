#!/bin/sh
# shellcheck disable=SC2317,SC2094 # called by a trap and through ask; pipes are opened from both ends
# mover.sh DIR: brings every dataset of DIR/list to the receiving side, one resumable stream after the
# other (zfs-send(8), zfs-receive(8)), until all are there. Run one at a time for a DIR.
# What is left to do is never remembered: for each dataset it is looked up on both sides. So it may be
# ended anywhere, by anything, and is simply started again. The contract, kept by __init__.py too:
#
# DIR/list      columns separated by tabs, none empty; in this order from top to bottom
#   stream SOURCE TARGET ORIGIN|- POINT,POINT... every|only raw|plain tree|one GUID SIZE
#   rename OLD NEW                  on the receiving side, once every stream is there
# DIR/settings  sh assignments: direction=pull|push, ssh= (words without the host), host=, shared=yes|no
#   (the ssh_config names a ControlPath), received=yes|no (the sending side came by its properties with a
#   stream: those are sent, but for raw streams), options= (more of zfs send), limit= (bytes a second, 0
#   none), and in seconds patience= idle= stall= probe= answer= grace=; in tenths of a second tick= first=
#   longest=;
#   lane= (of lanes.sh: what each line for people begins with)
# DIR/pause     while it exists the running stream is ended, to be resumed, and nothing is sent;
#               a tree stream, which cannot be resumed, goes on to its end first
# DIR/log       lines for people: "HH:MM:SS text", and all that zfs and ssh said, behind "| "
# DIR/resumed   targets whose last stream was resumed: zfs-receive(8) may lack properties of those
# DIR/state     three lines, replaced at once:
#   PHASE NUMBER COUNT SINCE AT SENT SIZE HAD DONE RETRIES
#     looking|sending|waiting|paused|renaming|ended; dataset NUMBER of COUNT; when PHASE began and this was
#     written (seconds since 1970); bytes of this stream as the sender counts them, and as it estimated
#     them (0 unknown); bytes that had come of this dataset before; bytes of the finished ones;
#     streams tried again
#   TARGET
#   the last line of the log that was for people, without its time
# exit status   0 all there; 10 source snapshot changed; 11 source snapshot or dataset gone; 12 what is on
#   the receiving side does not fit; 13 no space or quota; 14 zfs refuses; 15 the other side out of reach
#   for longer than the patience; 16 host key not accepted; 17 login refused; 18 stopped by a signal;
#   19 list or settings unusable
PATH=$PATH:/sbin:/bin:/usr/sbin:/usr/bin LC_ALL=C
export PATH LC_ALL; umask 077; set -fu
tab=$(printf '\t')
direction=pull ssh='' host='' shared=no received=no options='' limit=0 lane=''
patience=3600 idle=60 stall=1800 probe=20 answer=120 grace=10 tick=10 first=10 longest=600
# shellcheck source=/dev/null
cd "${1:?}" && . ./settings && [ -r list ] || exit 19
case $direction in pull) sender=there receiver=here ;; *) sender=here receiver=there ;; esac
me=main phase='' since=0 number=0 count=0 had=0 finished=0 retries=0 target=- event=''
s='' l='' r='' h='' w='' asked='' trouble='' wait=$first

# --- what is told --------------------------------------------------------------------------------

now() { date +%s; }
say() { event=$lane$1; printf '%s %s\n' "$(date +%H:%M:%S)" "$event" >>log; }
state() { # state PHASE [SENT SIZE]
    [ "$1" = "$phase" ] || { phase=$1 since=$(now); }
    printf '%s\n' "$phase $number $count $since $(now) ${2:-0} ${3:-0} $had $finished $retries" \
        "$target" "$event" >"state.$me" && mv "state.$me" state
}
leave() { say "$2"; state ended; exit "$1"; }
tell() { # what zfs and ssh said, but for the advice to do what is done here anyway
    sed -e '/^A resuming stream can be generated/d' -e '/^ *zfs send -t /d' -e 's/^/| /' said >>log; : >said
}
tenths() { echo "$(($1 / 10)).$(($1 % 10))"; }
nap() { sleep "$(tenths "$1")" 9>&- & wait $!; } # unlike a plain sleep it ends with a signal

# --- processes -----------------------------------------------------------------------------------

quoted() { # sets line to the arguments as words for the other side's shell
    line=
    for word; do
        case $word in '' | *[!A-Za-z0-9_@/:.,=+%-]*)
            word="'$(printf '%s\n' "$word" | sed "s/'/'\\\\''/g")'" ;;
        esac
        line="$line $word"
    done
}
at() { # at here|there COMMAND...: turns into it
    [ "$1" = there ] || { shift; exec "$@"; }
    shift; quoted "$@"
    control "$host" "${line# }"
}
control() { eval "exec $ssh" '"$@"'; } # control OPTION... HOST: ssh itself
gone() { # gone PID SECONDS: 0 as soon as that process has ended, 1 if it does not
    pause=1 left=$(($2 * 100))
    while kill -0 "$1" 2>/dev/null; do
        [ "$left" -gt 0 ] || return 1
        sleep "0.0$pause"
        left=$((left - pause))
        [ "$pause" -ge 8 ] || pause=$((pause * 2))
    done
}
finish() { kill "$1" 2>/dev/null; gone "$1" "$grace" || kill -KILL "$1" 2>/dev/null; }
ask() { # ask FILE COMMAND...: its answer, within a deadline; its complaints are in FILE.said
    answers=$1; shift
    ("$@") >"$answers" 2>"$answers.said" </dev/null 9>&- & asked=$!
    late=
    gone "$asked" "$answer" || { finish "$asked"; late=255; echo "No answer in $answer s." >>"$answers.said"; }
    wait "$asked"; status=${late:-$?} asked=
    return "$status"
}
guard() { # ends what is left as soon as the mover is no more; nobody else holds life open for writing
    trap '' HUP INT TERM
    read -r _ <&8
    read -r _ left_over <"pids.$$"
    # shellcheck disable=SC2086 # numbers
    [ -z "$left_over" ] || kill $left_over 2>/dev/null
    for pid in $left_over; do gone "$pid" "$grace" || kill -KILL "$pid"; done 2>/dev/null
    rm -f "pids.$$" "life.$$"
}
stopped() {
    trap '' HUP INT TERM
    for pid in $s $w $asked; do kill "$pid"; done 2>/dev/null
    [ -z "$r" ] || gone "$r" "$grace" || finish "$r" # at the end of its input it saves what it has
    [ -z "$h" ] || gone "$h" 1
    tell
    leave 18 "Stopped by a signal; started again it goes on from here."
}

# --- what a failure means ------------------------------------------------------------------------

said() { grep -qE "$1" said; }
judge() { # judge STATUS: leaves where trying again mends nothing; else sets cause
    cause=other
    if [ "$1" -eq 255 ]; then
        said 'Host key verification failed|HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY|No [^ ]+ host key is known' &&
            tell && leave 16 "The host key of the other side was not accepted; that is not tried again."
        said 'Permission denied \(|Too many authentication failures' &&
            tell && leave 17 "The other side refused the login; that is not tried again."
        cause='link'
    fi
    said ': out of space|quota exceeded|No space left on device' &&
        tell && leave 13 "No space is left for $target, or its quota is reached."
    said "destination '.*' exists$|destination has snapshots|destination already exists" &&
        tell && leave 12 "What is there as $target is in the way."
    said 'most recent snapshot of .* does not$|has been modified$' &&
        tell && leave 12 "$target is not at the snapshot that the stream builds upon."
    said "cannot be used to destroy an encrypted|encrypted dataset .* may not be sent|inherited key must be loaded" &&
        tell && leave 14 "The encryption of the stream and of the receiving side do not fit together."
    said "incremental send stream requires -L" &&
        tell && leave 14 "$target came with -L until now: it goes on only with that option."
    said "kernel modules must be upgraded|unsupported feature|bad magic number|invalid option|Bad configuration option" &&
        tell && leave 14 "What one side sends the other does not understand."
    said "[Pp]ermission denied$|parent '.*' is not a filesystem|local origin for clone" &&
        tell && leave 14 "zfs refuses this; trying again does not mend it."
    ! said '^cannot resume send' || cause=stale
    ! said 'dataset is busy' || cause=busy
    tell
}
again() { # again SENTENCE: waits longer each time, until the patience is over
    [ -n "$trouble" ] || { trouble=$(now); wait=$first; }
    [ $(($(now) - trouble)) -lt "$patience" ] || leave 15 "$1 It has been so for more than $patience s."
    retries=$((retries + 1))
    say "$1 Again in $(tenths "$wait") s."
    state waiting
    nap "$wait"
    wait=$((wait * 2)); [ "$wait" -le "$longest" ] || wait=$longest
    [ "$shared" = no ] || ask master control -O check "$host" || {
        # Unlike yes, auto removes the socket of a master that was killed, and takes its place.
        ask master control -o ControlMaster=auto -fN "$host" && say "The connection is open again." && return
        cat master.said >>said
        judge 255
    }
}
failed() { # failed FILE: a question got no answer, for a reason that time may mend
    cat "$1.said" >>said
    judge "$status"
    [ "$cause" = link ] || tries=$((tries + 1))
    [ "$tries" -lt 3 ] || leave 14 "zfs answers with an error, three times."
    again "A question about $target got no answer."
}

# --- what to do next -----------------------------------------------------------------------------

inventory() { # inventory FILE here|there DATASET: its snapshots in their order; none where it is absent
    span='-d 1'; [ "$tree" = one ] || span=-r
    # shellcheck disable=SC2086 # two words
    ask "$1" at "$2" zfs list -Hp $span -t filesystem,volume,snapshot -s createtxg \
        -o name,guid,receive_resume_token "$3" && return
    grep -q 'dataset does not exist' "$1.said" && : >"$1"
}
decide() { # decide [offered]: what this dataset needs, by both listings; "ask" while one is wanted
    source=$source target=$place origin=$origin points=$points every=$every tree=$tree guid=$guid \
        awk -F '\t' -v OFS='\t' -v both="${1-}" '
    BEGIN {
        s = ENVIRON["source"]; t = ENVIRON["target"]; guid = ENVIRON["guid"] ""
        tree = ENVIRON["tree"] == "tree"; many = split(ENVIRON["points"], point, ",")
        last = point[many]
    }
    { cut = index($1, "@"); dataset = cut ? substr($1, 1, cut - 1) : $1; tag = substr($1, cut + 1) }
    FILENAME == "arrived" {
        if (!cut) bare[dataset] = 1
        if (!cut && dataset == t) { there = 1; token = $3 }
        if (!cut || (!tree && dataset != t)) next
        got[$2] = here[tag] = full[dataset] = ++snapshots; newest = $2
        next
    }
    cut {
        known[$2] = 1
        if (tag == last) wanted[$2] = 1
        if (dataset == s) { name[++n] = tag; id[n] = $2; place[tag] = where[$2] = n }
    }
    function verdict() {
        if (!tree && guid in got) return "done"
        if (both == "") return "ask"
        if (!(last in place))
            return guid in where ? "changed" OFS last " is called " name[where[guid]] " now" : "pruned" OFS last
        if ((id[place[last]] "") != guid) return "changed" OFS last " is another snapshot than planned"
        if (tree) return whole_tree()
        if (token != "" && token != "-") return "token" OFS token
        if (!snapshots) {
            if (there && index(t, "/")) return "unfit" OFS "it exists and has no snapshot"
            if (!(point[1] in place)) return "pruned" OFS point[1]
            return (ENVIRON["origin"] == "-" ? "whole" : "clone") OFS point[1]
        }
        if (!(newest in where)) return "unfit" OFS "the sender does not have its newest snapshot"
        base = where[newest]
        if (base > place[last]) return "unfit" OFS "it has newer snapshots, but not this one"
        for (i = 1; i <= many; i++)
            if (point[i] in place) {
                if (place[point[i]] > base) return "from" OFS point[i] OFS name[base]
            } else if (ENVIRON["every"] == "only" && !(point[i] in here)) return "pruned" OFS point[i]
    }
    function whole_tree() {
        for (g in wanted) if (!(g in got)) missing = 1
        if (!missing) return "done"
        if (!there) return "whole" OFS last
        for (g in got) if (!(g in known)) return "unfit" OFS "it has a snapshot that the sender does not have"
        for (d in bare) if (!(d in full)) return "unfit" OFS d " has no snapshot"
        return index(t, "/") ? "clear" OFS last : "unfit" OFS "half a tree fills the root of its pool"
    }
    END { print verdict() }' arrived ${1+"$1"}
}
renamed() { # 0 if all of it is there under a name that a rename of the list gave it
    while IFS=$tab read -r word old new; do
        case $word$tab$place/ in "rename$tab$old"/*) ;; *) continue ;; esac
        place=$new${place#"$old"}
        inventory arrived "$receiver" "$place" || return 2
        todo=$(decide)
        [ "$todo" != "done" ] || return 0
    done <list
    place=$target; : >arrived
    return 1
}
look() { # sets what, one and two; another status than 0: a question got no answer
    place=$target
    inventory arrived "$receiver" "$place" || { failed arrived; return 1; }
    todo=$(decide)
    if [ "$todo" = ask ] && [ ! -s arrived ]; then
        renamed; [ $? -ne 2 ] || { failed arrived; return 1; }
    fi
    if [ "$todo" = ask ]; then
        inventory offered "$sender" "$source" || { failed offered; return 1; }
        # A machine that has just started may answer before its pools are there.
        [ -s offered ] || ask pool at "$sender" zfs list -H -o name "${source%%/*}" || {
            again "The pool ${source%%/*} is not there on the sending side."
            return 1
        }
        todo=$(decide offered)
    fi
    IFS=$tab read -r what one two <<END
$todo
END
}

# --- one stream ----------------------------------------------------------------------------------

hear() { # the sender's standard error: counts its bytes, hands on what is for people
    total=0 last=0 size=0
    while IFS= read -r row || [ -n "$row" ]; do
        case $row in
        [0-9][0-9]:[0-9][0-9]:[0-9][0-9]"$tab"[0-9]*)
            row=${row#*"$tab"} row=${row%%"$tab"*}
            [ "$row" -ge "$last" ] || total=$((total + last)) # the next snapshot counts from nought
            last=$row
            echo "$((total + last)) $size" >count ;;
        size"$tab"[0-9]*) size=${row#*"$tab"}; echo "$((total + last)) $size" >count ;;
        full"$tab"* | incremental"$tab"* | "$tab"* | 'resume token contents:' | 'nvlist version:'*) ;;
        *) printf '%s\n' "$row" >>said ;;
        esac
    done
}
counted() { # sets sent and size
    { read -r bytes guess; } 2>/dev/null <count && sent=$bytes size=${guess:-0}
}
throttle() { # passes at most $limit bytes in a second; dd(1) knows fullblock since FreeBSD 13
    if [ "$limit" -ge 65536 ]; then block=65536; else block=$limit; fi
    while sleep 1 >/dev/null & dd bs="$block" count=$((limit / block)) iflag=fullblock 2>throttled; do
        ! grep -q '^0+0 records in' throttled || break
        wait $!
    done
}
used() { ask used at "$receiver" zfs get -Hp -o value used "$target" && cat used; }
watch() { # tells the state, obeys DIR/pause, and tells a slow link from a dead one
    me=watch answer=$probe moved=$(now) came=$moved sent=0 size=0 before=0 held=''
    while sleep "$(tenths "$tick")" && kill -0 $$ 2>/dev/null; do # the guardian may not know it yet
        counted
        if [ -e pause ] && [ "$tree" = one ]; then echo pause >why; kill "$s"; return; fi
        [ "$sent" = "$before" ] || moved=$(now) came=$moved before=$sent
        if [ $(($(now) - moved)) -ge "$idle" ]; then
            holds=$held
            if [ "$receiver" = there ] && ! ask true at there true; then lost dead; return; fi
            held=$(used)
            if [ -n "$holds" ] && [ "$held" != "$holds" ]; then
                came=$(now)
            else
                ask true at there true || { lost dead; return; }
                still=$(($(now) - came))
                [ "$still" -lt "$stall" ] || { lost stalled; return; }
                say "No byte has come for $still s, but the other side answers: it goes on."
            fi
            moved=$(now)
        fi
        state sending "$sent" "$size"
    done
}
lost() { # lost WHY: the sender goes, the receiver saves what it has, or goes as well
    echo "$1" >why
    finish "$s"
    gone "$r" "$grace" || finish "$r"
}
stream() { # stream COMMAND...: from the sender's to the receiver's; sets cause
    rm -f flow slow errs why count
    mkfifo flow slow errs || leave 19 "No pipe can be made in $PWD."
    options_='-s -u'; [ "$tree" = one ] || options_=-u
    # Only the root of a fresh pool is there before its first stream.
    case $target in */*) ;; *) grep -qF "$target@" arrived || options_="$options_ -F" ;; esac
    # Opened from both ends at first: nobody waits for somebody who never comes.
    exec 8<>flow 7<flow 6>flow 8<>errs 5<errs 4>errs 8>&-
    (at "$sender" "$@") >&6 2>&4 </dev/null 4>&- 5<&- 6>&- 7<&- 9>&- & s=$!
    (hear) <&5 4>&- 5<&- 6>&- 7<&- 9>&- & h=$!
    exec 4>&- 5<&- 6>&-
    if [ "$limit" -gt 0 ]; then
        exec 8<>slow 3>slow 8<slow
        (throttle) <&7 >&3 3>&- 7<&- 8<&- 9>&- & l=$!
        exec 7<&8 3>&- 8<&-
    fi
    # shellcheck disable=SC2086 # options
    (at "$receiver" zfs receive $options_ "$target") <&7 >>said 2>&1 7<&- 9>&- & r=$!
    exec 7<&-
    (watch) </dev/null 9>&- & w=$!
    echo "$guardian $s $l $r $h $w" >pids.new && mv pids.new "pids.$$"
    wait "$r"; receiving=$?
    gone "$s" "$grace" || finish "$s"
    wait "$s"; sending=$?
    kill "$w" 2>/dev/null; wait "$w" 2>/dev/null
    gone "$h" 2 || kill "$h" # a connection's master may keep the pipe open
    [ -z "$l" ] || gone "$l" 2 || kill "$l"
    s='' l='' r='' h='' w=''
    echo "$guardian" >"pids.$$"
    sent=0 size=0; counted
    cause=none
    [ "$receiving$sending" = 00 ] || outcome
    tell
}
outcome() { # what became of a stream that did not end well
    if [ "$sender" = there ]; then judge "$sending"; else judge "$receiving"; fi
    [ ! -e why ] || read -r cause <why
    [ "$cause" = dead ] || return 0
    say "The other side does not answer: this stream is ended."
    [ "$shared" = no ] || ask master control -O exit "$host"
    cause='link'
}

# --- one dataset ---------------------------------------------------------------------------------

fits() { # fits TOKEN: it is of a snapshot of this dataset that is on our way; sets bytes
    ask token at "$sender" zfs send -n -v -P -t "$1" || return
    toguid=$(sed -n 's/^[[:space:]]*toguid = \(0x[0-9a-f]*\)$/\1/p' token)
    bytes=$(sed -n 's/^[[:space:]]*bytes = \(0x[0-9a-f]*\)$/\1/p' token)
    toguid=$(printf %u "${toguid:-0}") bytes=$((${bytes:-0}))
    awk -F '\t' -v wanted="$toguid" -v last="$guid" '
        ($2 "") == (wanted "") { found = 1 }
        ($2 "") == (last "") { exit }
        END { exit !found }' offered ||
        { echo 'cannot resume send: the token is of another snapshot' >>token.said; status=1; return 1; }
    # What zfs-receive(8) sets at the end of a stream is not in a resumed one.
    [ "$toguid" != "$guid" ] || grep -qxsF "$target" resumed || printf '%s\n' "$target" >>resumed
}
abandon() { # abandon SENTENCE: drops what was received of an unfinished stream
    say "$1 What came of it is dropped; $target goes on from its newest snapshot."
    retries=$((retries + 1))
    ask abandoned at "$receiver" zfs receive -A "$target" || failed abandoned
}
resume() { # resume TOKEN
    [ "$tries" -lt 3 ] || { abandon "The same resume token failed three times."; return; }
    if fits "$1"; then
        had=$((brought + bytes))
        say "Dataset $number of $count: $target goes on; $bytes bytes of its stream are there."
        stream zfs send -v -P -t "$1"
    elif grep -q '^cannot resume send' token.said; then
        cat token.said >>said
        cause=stale
    else
        failed token
        return
    fi
    if [ "$cause" = stale ]; then abandon "The sender cannot go on with the resume token."; else weigh; fi
}
begin() { # begin whole|clone|from TAG [BASE]
    [ "$tries" -lt 3 ] || leave 14 "The same stream failed three times."
    had=$brought
    say "Dataset $number of $count: $source@$2${3:+ from @$3} to $target."
    verb=$1 tag=$2 base=${3-}
    # An encrypted tree that is sent with -b comes without the keys of its clones.
    if [ "$received$raw" = yesplain ]; then set -- -b; else set -- -p; fi
    # shellcheck disable=SC2086 # options
    set -- zfs send -v -P "$@" $options
    [ "$raw" = plain ] || set -- "$@" -w
    [ "$tree" = one ] || set -- "$@" -R
    case $verb:$every in
    clone:*) set -- "$@" -i "$origin" ;;
    from:every) set -- "$@" -I "@$base" ;;
    from:*) set -- "$@" -i "@$base" ;;
    esac
    stream "$@" "$source@$tag"
    weigh
}
weigh() { # what a stream brought, and whether there is a next try for it
    [ "$sent" -eq 0 ] || trouble=
    case $cause in
    none)
        [ "$sent" -ge "$size" ] || sent=$size # it was over before its next count
        brought=$((had + sent)) tries=$((tries + 1)) trouble= ;;
    link) again "The connection broke off." ;;
    stalled) tries=$((tries + 1)); again "No byte came for $stall s, though the other side answers." ;;
    busy) again "$target is busy: an earlier receive is still ending." ;;
    other) tries=$((tries + 1)); again "The stream failed." ;;
    esac
}
hold() { # hold: while it is paused
    [ -e pause ] || return 0
    say "Paused."
    while [ -e pause ]; do state paused; nap "$tick"; done
    say "It goes on."
}
bring() { # all of one dataset
    before='' tries=0 brought=0 had=0
    while :; do
        hold
        state looking
        look || continue
        [ "$todo" = "$before" ] || before=$todo tries=0
        case $what in
        done) break ;;
        token) resume "$one" ;;
        whole | clone | from) begin "$what" "$one" "$two" ;;
        clear)
            say "A tree stream cannot be resumed: $target is destroyed and sent again."
            ask cleared at "$receiver" zfs destroy -r "$target" || failed cleared ;;
        changed) leave 10 "$source@$one." ;;
        pruned) leave 11 "$source@$one is gone from the sending side." ;;
        *) leave 12 "$target does not fit: $one." ;;
        esac
    done
    [ "$brought" -gt 0 ] || brought=$weight # it was there already
    finished=$((finished + brought)) had=0
    say "Dataset $number of $count: $target is there."
}
name_it() { # gives a dataset its name, unless it has it
    tries=0 tree=one
    state renaming
    until inventory arrived "$receiver" "$source" && { [ ! -s arrived ] ||
        ask renamed at "$receiver" zfs rename "$source" "$target"; }; do
        if [ -s arrived ]; then failed renamed; else failed arrived; fi
    done
    say "$source is called $target now."
}

# --- the whole -----------------------------------------------------------------------------------

set +f # an earlier mover's guardian may still be at its work
for old in pids.*; do
    [ ! -e "$old" ] || { read -r pid _ <"$old" && gone "$pid" "$((grace + 2))"; rm -f "$old" "life.${old#pids.}"; }
done
set -f
touch said log && tell && rm -f "life.$$" && mkfifo "life.$$" || exit 19
exec 9<>"life.$$" 8<"life.$$"
# In parentheses: a shell that redirects a function keeps what it closes.
(guard) 9>&- & guardian=$!
exec 8<&-
echo "$guardian" >"pids.$$"
trap stopped HUP INT TERM
count=$(grep -c "^stream$tab" list)
while IFS=$tab read -r word source target origin points every raw tree guid weight; do
    case $word in
    stream) number=$((number + 1)); bring ;;
    rename) name_it ;;
    *) leave 19 "The list has a line that is none: $word" ;;
    esac
done <list
target=-
leave 0 "All $count datasets are there."

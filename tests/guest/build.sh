#!/bin/bash
# Builds what QEMU needs to start a test guest: a kernel and an initrd with real OpenZFS and
# OpenSSH, made of Debian 12 packages and of the files under overlay/.
#
# Result, outside the clone, in ${ZRWIZARD_CACHE:-${XDG_CACHE_HOME:-~/.cache}/zrwizard}/guest:
#   vmlinuz initrd         what to boot
#   id_ed25519             client key that the guests accept; id_locked: the same with a passphrase
#   MANIFEST               versions, and the key by which the next run knows that all is current
#
# Environment:
#   ZRWIZARD_CACHE         the directory above "guest"
#   ZRWIZARD_ZFS_MODULES   a directory with zfs-modules-*.tar.zst; one that fits saves the compilation
#   ZRWIZARD_MIRROR        Debian mirror (default: the one that this machine's apt uses)
#
# Exit status: 0 built or current, 1 failed, 3 this machine cannot build it (the text says why).
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=${ZRWIZARD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zrwizard}/guest
WORK=$OUT/work
FRESH_DAYS=7        # how long package versions are believed without asking the mirror
LOCKED_PASSPHRASE="zguest key"

PACKAGES=(zfsutils-linux udev openssh-server openssh-client openssh-sftp-server libpam-modules
  busybox-static dash original-awk gdisk fdisk dosfstools netcat-openbsd iproute2 kmod coreutils util-linux
  dmsetup procps)
# Packages in the dependency closure that put nothing into the guest.
UNUSED='perl|libperl|python3|libpython3|usrmerge|adduser|debconf|media-types|ucf|libc-bin|tar_|dpkg_'
UNUSED="$UNUSED|libsqlite|gcc-|libdb5|runit-helper|ncurses|passwd|init-system|lsb-base"
PROGRAMS=(/bin/dash /sbin/zpool /sbin/zfs /sbin/zdb /sbin/zgenhostid /sbin/mount.zfs
  /sbin/sgdisk /sbin/sfdisk /sbin/mkfs.fat /bin/nc.openbsd /bin/ip /bin/kmod /bin/dd /bin/df /bin/stty
  /usr/bin/original-awk /usr/bin/cksum /usr/bin/timeout /usr/bin/sha256sum /usr/bin/partx /bin/udevadm /lib/udev/zvol_id
  /sbin/dmsetup /bin/ss /usr/bin/pgrep /usr/bin/tr
  /usr/sbin/sshd /usr/bin/ssh /usr/bin/scp /usr/bin/sftp /usr/bin/ssh-keygen /usr/bin/ssh-keyscan
  /usr/lib/openssh/sftp-server)
MODULES=(zfs virtio_pci virtio_blk virtio_net virtio_rng virtio_console vfat nls_cp437 nls_ascii
  virtio_scsi sd_mod dm_crypt xts)

say() { printf 'guest build, %3d s: %s\n' "$SECONDS" "$*"; }
cannot() { printf 'The guest cannot be built here: %s\n' "$*" >&2; exit 3; }
fresh() { rm -rf "$1"; mkdir -p "$1"; }

# Prints the hash of everything in the clone that goes into the image.
source_hash() {
  (cd "$HERE" && find build.sh overlay -printf '%p %l\n' -type f -exec sha256sum {} + |
    sort | sha256sum | cut -c1-16)
}

current() {
  local f
  for f in vmlinuz initrd id_ed25519 id_locked; do [[ -s $OUT/$f ]] || return 1; done
  grep -qsx "source $SOURCE" "$OUT/MANIFEST" &&
    [[ -n $(find "$OUT/MANIFEST" -mtime "-$FRESH_DAYS") ]]
}

host_tools() {
  local need=() p
  command -v apt-get >/dev/null || cannot 'there is no apt-get (it is made for Debian 12).'
  [[ $(uname -m) == x86_64 ]] || cannot "this machine is $(uname -m), the guests are x86_64."
  for p in gcc-12:gcc-12 gcc:gcc make:make cpio:cpio zstd:zstd depmod:kmod readelf:binutils \
    ssh-keygen:openssh-client openssl:openssl qemu-system-x86_64:qemu-system-x86 dpkg-deb:dpkg \
    flock:util-linux; do
    command -v "${p%%:*}" >/dev/null || need+=("${p#*:}")
  done
  ldconfig -p | grep -q 'libelf.so.1 ' || need+=(libelf1)   # the kernel's objtool loads it
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || need+=(debian-archive-keyring)
  ((${#need[@]})) || return 0
  [[ $(id -u) == 0 ]] || cannot "missing: ${need[*]}. Install them, or run this as root."
  say "installing ${need[*]}"
  if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y --no-install-recommends install "${need[@]}" >/dev/null; }; then
    cannot "apt-get could not install ${need[*]}."
  fi
}

# A package state of our own: the whole dependency closure is fetched, whatever is installed here,
# and the machine's own lists, hooks and pins are left alone.
apt_state() {
  local a=$WORK/apt main security key=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$a/state/lists/partial" "$a/cache/archives/partial" "$WORK/debs"
  : >"$a/status"
  # shellcheck disable=SC2016  # $(SITE) is apt's own placeholder
  main=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep '/debian/*$' | head -1 || :)
  main=${ZRWIZARD_MIRROR:-${main:-http://deb.debian.org/debian}}
  security=${main%/}-security
  printf 'deb [signed-by=%s] %s %s main contrib\n' \
    "$key" "$main" bookworm "$key" "$main" bookworm-updates "$key" "$security" bookworm-security \
    >"$a/sources.list"
  {
    apt-config dump | grep -E '^Acquire::(https?|ftp|Retries|ForceIPv4)' || :
    printf '%s "%s";\n' Dir::Etc::Parts /dev/null Dir::Etc::SourceList "$a/sources.list" \
      Dir::Etc::SourceParts /dev/null Dir::Etc::Preferences /dev/null \
      Dir::Etc::PreferencesParts /dev/null Dir::State "$a/state" Dir::State::status "$a/status" \
      Dir::Cache "$a/cache" APT::Install-Recommends 0 APT::Sandbox::User root \
      Acquire::Languages none Acquire::Retries 3
  } >"$a/apt.conf"
  export APT_CONFIG=$a/apt.conf
  apt-get -qq update || cannot "the Debian mirror $main does not answer."
}

candidate() { apt-cache policy "$1" | awk '/Candidate:/ {print $2}'; }
depends() { apt-cache depends "$1" | awk -v re="^$2" '$1 == "Depends:" && $2 ~ re {print $2}'; }
deb() { find "$WORK/debs" -name "${1}_*.deb" -printf '%T@ %p\n' | sort -rn | awk 'NR==1 {print $2}'; }

versions() {
  KERNEL=$(depends linux-image-cloud-amd64 linux-image- | head -1)
  KERNEL=${KERNEL#linux-image-}
  ZFS=$(candidate zfs-dkms)
  GCC=$(gcc-12 -dumpfullversion)
  VERSIONS="kernel $KERNEL ($(candidate "linux-image-$KERNEL")), zfs $ZFS, gcc $GCC"
}

fits() { # fits ARCHIVE: its zfs.ko is of this kernel and this OpenZFS; unpacks it as a side effect
  fresh "$WORK/modules"
  zstd -dqc "$1" | tar -C "$WORK/modules" -x || return 1
  local ko=$WORK/modules/extra/zfs.ko
  [[ $(modinfo -F vermagic "$ko") == "$KERNEL "* && $(modinfo -F version "$ko") == "$ZFS" ]]
}

# Leaves the OpenZFS modules in $WORK/modules/extra: from a cache that fits, else compiled.
zfs_modules() {
  local archive
  for archive in "$OUT"/zfs-modules-*.tar.zst "${ZRWIZARD_ZFS_MODULES:-/nonexistent}"/zfs-modules-*.tar.zst; do
    if [[ -e $archive ]] && fits "$archive"; then
      say "OpenZFS modules from $archive"
      return
    fi
  done
  say 'compiling the OpenZFS modules (4 to 15 minutes)'
  compile_modules
  rm -f "$OUT"/zfs-modules-*.tar.zst
  tar -C "$WORK/modules" -c extra | zstd -q -10 -f -o "$OUT/zfs-modules-$KERNEL.tar.zst"
}

compile_modules() {
  local headers tree=$WORK/headers src=$WORK/zfs-source p quiet="CONFIG_DEBUG_INFO= CONFIG_DEBUG_INFO_BTF_MODULES="
  mapfile -t headers < <(echo "linux-headers-$KERNEL"; depends "linux-headers-$KERNEL" 'linux-(headers|kbuild)')
  (cd "$WORK/debs" && apt-get -qq download "${headers[@]}" zfs-dkms)
  fresh "$tree"
  for p in "${headers[@]}" zfs-dkms; do dpkg-deb -x "$(deb "$p")" "$tree"; done
  # The headers name each other by absolute path: point them into the unpacked tree.
  sed -i "s#/usr/src/#$tree/usr/src/#" "$tree/usr/src/linux-headers-$KERNEL/Makefile"
  fresh "$src"
  cp -a "$tree"/usr/src/zfs-*/. "$src"
  shorten_benchmarks "$src/module"
  (cd "$src" && MAKEFLAGS=$quiet nice ./configure --with-config=kernel \
    --with-linux="$(echo "$tree"/usr/src/linux-headers-*-common)" \
    --with-linux-obj="$tree/usr/src/linux-headers-$KERNEL") >"$WORK/configure.log" 2>&1 ||
    { tail -20 "$WORK/configure.log" >&2; exit 1; }
  # shellcheck disable=SC2086  # two settings, two words
  nice make -C "$src/module" $quiet -j"$(nproc)" >"$WORK/make.log" 2>&1 ||
    { tail -20 "$WORK/make.log" >&2; exit 1; }
  fresh "$WORK/modules/extra"
  find "$src/module" -name '*.ko' -exec cp -t "$WORK/modules/extra" {} +
  strip --strip-debug "$WORK"/modules/extra/*.ko
}

# Each load of the modules measures checksum and raidz code for some seconds under emulation;
# one short round picks an implementation as well.
shorten_benchmarks() {
  sed -i -e 's/i < 5; i++, run_cnt++/i < 1; i++, run_cnt++/' \
    -e '/^#define\tBENCH_NS/s/MSEC2NSEC(1)/(MSEC2NSEC(1) \/ 50)/' "$1/zfs/vdev_raidz_math.c"
  sed -i -e 's/l < 32; l++, run_count++/l < 1; l++, run_count++/' \
    -e '/^#define\tFLETCHER_4_BENCH_NS/s/MSEC2NSEC(1)/(MSEC2NSEC(1) \/ 50)/' "$1/zcommon/zfs_fletcher.c"
}

unpack() {
  local d
  apt-get -qq -y --download-only install "${PACKAGES[@]}"
  (cd "$WORK/debs" && apt-get -qq download "linux-image-$KERNEL")
  fresh "$WORK/kernel"
  dpkg-deb -x "$(deb "linux-image-$KERNEL")" "$WORK/kernel"
  fresh "$WORK/system"
  for d in "$WORK"/apt/cache/archives/*.deb; do
    [[ ${d##*/} =~ ^($UNUSED) ]] || printf '%s\0' "$d"
  done | xargs -0 -P "$(nproc)" -I{} dpkg-deb -x {} "$WORK/system"
}

# add_libraries FILE: copies the shared libraries that an ELF file needs, and theirs.
add_libraries() {
  local name dir found lib=usr/lib/x86_64-linux-gnu
  for name in $(readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    [[ $name == ld-linux* || -e $ROOT/$lib/$name ]] && continue
    found=
    for dir in lib/x86_64-linux-gnu $lib; do
      [[ -e $WORK/system/$dir/$name ]] && found=$WORK/system/$dir/$name
    done
    [[ -n $found ]] || { echo "no package brings $name, which $1 needs" >&2; exit 1; }
    cp -L "$found" "$ROOT/$lib/$name"
    add_libraries "$found"
  done
}

add_program() { # at its own place, below /usr
  local to=$ROOT/usr/${1#/}
  to=${to/usr\/usr/usr}
  mkdir -p "${to%/*}"
  rm -f "$to"
  cp -L "$WORK/system$1" "$to"
  add_libraries "$to"
}

add_busybox() {
  local applet
  add_program /bin/busybox
  for applet in $("$ROOT/usr/bin/busybox" --list-full); do
    case ${applet##*/} in busybox | sh | ip | nc | awk | linux32 | linux64) continue ;; esac
    case $applet in
    *sbin/*) ln -sf ../bin/busybox "$ROOT/usr/sbin/${applet##*/}" ;;
    *) ln -sf busybox "$ROOT/usr/bin/${applet##*/}" ;;
    esac
  done
}

add_kernel_modules() {
  local tree=$WORK/kernel/lib/modules/$KERNEL to=$ROOT/usr/lib/modules/$KERNEL m f
  cp -r "$WORK/modules/extra" "$tree/"
  depmod -b "$WORK/kernel" -F "$WORK/kernel/boot/System.map-$KERNEL" "$KERNEL"
  for m in "${MODULES[@]}"; do modprobe -d "$WORK/kernel" -S "$KERNEL" -D "$m"; done |
    awk '$1 == "insmod" {print $2}' | sort -u | while read -r f; do
    mkdir -p "$to/$(dirname "${f#*/modules/"$KERNEL"/}")"
    cp "$f" "$to/${f#*/modules/"$KERNEL"/}"
  done
  cp "$tree"/modules.{order,builtin,builtin.modinfo} "$to/"
  depmod -b "$ROOT" -F "$WORK/kernel/boot/System.map-$KERNEL" "$KERNEL"
}

base_root() {
  local l p lib=usr/lib/x86_64-linux-gnu
  ROOT=$WORK/root
  fresh "$ROOT"
  mkdir -p "$ROOT"/{proc,sys,dev,tmp,run,mnt,root,home,media,var,etc/zfs} "$ROOT/$lib/security" \
    "$ROOT"/usr/{bin,sbin,lib64,lib/systemd,lib/udev/rules.d,share/zfs}
  for l in bin sbin lib lib64; do ln -s "usr/$l" "$ROOT/$l"; done
  cp -L "$WORK/system/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$ROOT/usr/lib64/"
  add_busybox
  for p in "${PROGRAMS[@]}"; do add_program "$p"; done
  for p in pam_unix pam_permit; do
    cp -L "$WORK/system/lib/x86_64-linux-gnu/security/$p.so" "$ROOT/$lib/security/"
    add_libraries "$ROOT/$lib/security/$p.so"
  done
  find "$WORK/system" -name libgcc_s.so.1 -exec cp -L {} "$ROOT/$lib/" \;  # for pthread_cancel
  for p in modprobe insmod rmmod lsmod modinfo depmod; do ln -sf ../bin/kmod "$ROOT/usr/sbin/$p"; done
  ln -sf dash "$ROOT/usr/bin/sh"
  ln -sf original-awk "$ROOT/usr/bin/awk"   # the awk that FreeBSD has
  ln -sf nc.openbsd "$ROOT/usr/bin/nc"
  ln -sf ../bin/ip "$ROOT/usr/sbin/ip"
  ln -sf pgrep "$ROOT/usr/bin/pkill"
  ln -sf ../../bin/udevadm "$ROOT/usr/lib/systemd/systemd-udevd"
  cp "$WORK"/system/lib/udev/rules.d/60-zvol.rules "$ROOT/usr/lib/udev/rules.d/"
  cp -r "$WORK/system/usr/share/zfs/compatibility.d" "$ROOT/usr/share/zfs/"
  add_kernel_modules
}

pack() { (cd "$1" && find . -print0 | sort -z | cpio --null -o -H newc -R 0:0 --quiet --reproducible) | zstd -q -9 -T0; }

# The larger half of the initrd: it changes with the packages and with this script only.
base() {
  local key
  key=$(echo "$VERSIONS" "$(sha256sum <"${BASH_SOURCE[0]}")" | sha256sum | cut -c1-16)
  if [[ ! -s $WORK/base-$key.zst ]]; then
    rm -f "$WORK"/base-*.zst
    say 'fetching and unpacking packages'
    unpack
    zfs_modules
    say 'assembling the guest'
    base_root
    cp "$WORK/kernel/boot/vmlinuz-$KERNEL" "$OUT/vmlinuz"
    pack "$WORK/root" >"$WORK/base.new"
    mv "$WORK/base.new" "$WORK/base-$key.zst"
  fi
  BASE=$WORK/base-$key.zst
}

# medium_file NAME BYTES: a boot file of the "live medium": the same noise on each build.
medium_file() {
  head -c "$2" /dev/zero |
    openssl enc -aes-256-ctr -nosalt -pbkdf2 -iter 1 -pass "pass:medium $1" >"$STAGE/boot/$1" 2>/dev/null
}

keys() {
  local k
  for k in id_ed25519 id_locked host_ed25519; do
    [[ -s $OUT/$k && -s $OUT/$k.pub ]] && continue
    rm -f "$OUT/$k" "$OUT/$k.pub"
    ssh-keygen -q -t ed25519 -C "zguest $k" -f "$OUT/$k" \
      -N "$([[ $k == id_locked ]] && echo "$LOCKED_PASSPHRASE")"
  done
}

# The smaller half: our own files, laid over the base by the kernel, which unpacks both in turn.
overlay() {
  STAGE=$WORK/stage
  fresh "$STAGE"
  cp -a "$HERE/overlay/." "$STAGE"
  # Not kept in overlay/: a source archive refuses links to absolute paths.
  ln -s /proc/self/mounts "$STAGE/etc/mtab"
  ln -s /tmp/bsdinstall_etc/resolv.conf "$STAGE/etc/resolv.conf"
  mkdir -p "$STAGE/boot/kernel" "$STAGE/etc/ssh"
  medium_file pmbr 512
  printf '\125\252' | dd of="$STAGE/boot/pmbr" bs=1 seek=510 conv=notrunc status=none
  medium_file gptzfsboot 176566
  medium_file gptboot 62655
  medium_file loader 507904
  medium_file loader.efi 657920
  medium_file kernel/kernel 4096
  chmod 600 "$STAGE/etc/shadow"
  chmod 444 "$STAGE"/boot/{pmbr,gptzfsboot,gptboot,loader.efi}
  install -m600 "$OUT/host_ed25519" "$STAGE/etc/ssh/ssh_host_ed25519_key"
  install -m644 "$OUT/host_ed25519.pub" "$STAGE/etc/ssh/ssh_host_ed25519_key.pub"
  cat "$OUT/id_ed25519.pub" "$OUT/id_locked.pub" >"$STAGE/etc/ssh/authorized_keys"
  pack "$STAGE" >"$WORK/overlay.zst"
}

main() {
  SOURCE=$(source_hash)
  mkdir -p "$WORK"
  exec 9>"$OUT/lock"
  command -v flock >/dev/null || cannot 'there is no flock (package util-linux).'
  flock -n 9 || { say "waiting for another build in $OUT"; flock 9; }
  current && { say "current: $OUT"; return; }
  host_tools
  apt_state
  versions
  say "$VERSIONS"
  base
  keys
  overlay
  cat "$BASE" "$WORK/overlay.zst" >"$OUT/initrd.new"
  mv "$OUT/initrd.new" "$OUT/initrd"
  printf 'source %s\n%s\ninitrd %s bytes\n' "$SOURCE" "$VERSIONS" "$(stat -c %s "$OUT/initrd")" >"$OUT/MANIFEST"
  say "done: $OUT"
}

main "$@"

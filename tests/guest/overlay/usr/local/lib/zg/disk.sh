# Disk names and sizes as FreeBSD writes them; sourced by the commands in /usr/local/sbin.
# shellcheck shell=sh

# bsd_name KERNEL_NAME: vda is vtbd0, vdb is vtbd1, sda (SCSI, as a USB disk) is da0, ...
bsd_name() {
  case $1 in
  vd[a-d]) echo "vtbd$(printf %s "${1#vd}" | tr abcd 0123)" ;;
  sd[a-d]) echo "da$(printf %s "${1#sd}" | tr abcd 0123)" ;;
  *) echo "$1" ;;
  esac
}

# kernel_name DISK: the kernel's name of a whole disk that exists; fails otherwise.
kernel_name() {
  kernel=${1#/dev/}
  case $kernel in
  vtbd[0-3]) kernel=vd$(printf %s "${kernel#vtbd}" | tr 0123 abcd) ;;
  da[0-3]) kernel=sd$(printf %s "${kernel#da}" | tr 0123 abcd) ;;
  esac
  [ -e "/sys/block/$kernel" ] && echo "$kernel"
}

# disks: the kernel's names of all disks, oldest first.
disks() {
  for block in /sys/block/vd? /sys/block/sd?; do
    [ ! -e "$block" ] || echo "${block##*/}"
  done
}

sectors() { cat "/sys/block/$1/size"; }

# serial KERNEL_NAME: the serial number; of a SCSI disk from its page 80h, after four bytes.
serial() {
  case $1 in
  sd?) tail -c +5 "/sys/block/$1/device/vpd_pg80" 2> /dev/null | tr -d '\0 ' ;;
  *) cat "/sys/block/$1/serial" 2> /dev/null ;;
  esac
}

# description KERNEL_NAME: vendor and product; virtio-blk has none.
description() {
  case $1 in
  sd?)
    read -r vendor < "/sys/block/$1/device/vendor"
    read -r model < "/sys/block/$1/device/model"
    echo "$vendor $model" ;;
  esac
}

# in_use DISK: a partition of it is mounted, swapped on or in an imported pool.
in_use() { ! blockdev --rereadpt "/dev/$1" 2> /dev/null; }

settle() { udevadm settle --timeout=10; }

# human(bytes): four characters at most, as humanize_number(3) writes them: 512K, 2.0G, 18G.
# shellcheck disable=SC2034  # for the awk programs of those who source this
HUMAN='
function human(bytes,    whole, rest, step, tenths) {
  whole = bytes; rest = 0; step = 1
  while (whole >= 1000 || (whole == 999 && rest >= 512)) { rest = whole % 1024; whole = int(whole / 1024); step++ }
  if (step > 1 && (whole < 9 || (whole == 9 && rest < 973))) {
    tenths = int((rest * 10 + 512) / 1024)
    return int(whole + int(tenths / 10)) "." tenths % 10 substr("BKMGTP", step, 1)
  }
  return int(whole + int((rest + 512) / 1024)) substr("BKMGTP", step, 1)
}'

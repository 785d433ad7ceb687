"""A tree over ssh between two machines: ours beside `zfs send -R | zfs receive` by hand."""

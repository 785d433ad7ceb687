"""A million lines of zfs diff into the tree, beside named limits."""

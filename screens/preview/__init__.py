"""The preview's pages: the tree's snapshots, what changed between two, one path, one plan."""

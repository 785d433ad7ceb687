"""What changed between snapshots: found, gathered into one tree, shown; nothing is written."""

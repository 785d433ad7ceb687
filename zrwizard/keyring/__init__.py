"""The operator's side of a backup server: its keys, certificates, escrow bundle and ssh config."""

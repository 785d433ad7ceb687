"""The operator's side: keys, certificates, escrow, and ssh to the server that they open."""

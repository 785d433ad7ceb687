"""What is sent, how far it is, and how a running transfer is watched."""

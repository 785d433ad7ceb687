"""The time of a command and of 50 MB of output, ours beside others, on one kind of pty."""

"""A plain root `sh` on the target, driven by the frame protocol of `protocol.py`."""

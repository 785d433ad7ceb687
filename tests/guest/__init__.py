"""The real OpenZFS guests: how they are built, started, filled and looked at."""

"""The execution of a plan: events, a journal on disk, resumable."""

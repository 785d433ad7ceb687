"""A line with a reader, a transcript with redaction, a screen, and a classifier of states."""

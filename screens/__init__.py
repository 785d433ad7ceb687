"""The Textual front end: one module a screen, its style sheet beside it."""

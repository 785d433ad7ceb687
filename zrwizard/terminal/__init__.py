"""`zrwizard console`: the console as a plain command, for people and for scripts."""

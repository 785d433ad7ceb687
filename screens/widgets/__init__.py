"""Widgets that the screens share; all of them draw by lines, in few bytes."""

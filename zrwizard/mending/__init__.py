"""What a restored system's own files need on the machine that it is on now: text in, text out."""

"""The language of index notation: its tree, reading it, printing it."""

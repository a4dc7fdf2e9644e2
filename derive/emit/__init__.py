"""From an op and its derivation to files, and from files to whether they are up to date."""

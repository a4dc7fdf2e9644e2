"""An op made of a paper's forward equations: read, chosen, and written as a person writes an op."""

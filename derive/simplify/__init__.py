"""Simplification: laws that keep the shape, the normal form that decides, identities found."""

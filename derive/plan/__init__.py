"""Decisions: index roles, what is saved or recomputed, what is re-centred, the order of passes."""

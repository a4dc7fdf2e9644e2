"""Checks of what is generated, against autograd of the op's own equations."""

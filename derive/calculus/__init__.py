"""Differentiation: the Jacobian of one equation, the chain rule along the graph."""

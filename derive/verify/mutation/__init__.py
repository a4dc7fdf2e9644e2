"""Mutation: every small mistake made on purpose, and which check notices it (DeMillo et al. 1978).

A check that no wrong program fails proves nothing. So the derived formulas, and the generated
source, are made wrong in one place at a time: a mutant. It is *killed* if a check fails on it,
*equivalent* if it is shown to be no mistake, and else *live*: a hole in the checks.
"""

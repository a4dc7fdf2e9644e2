"""The derivation of an op as one web page that needs nothing else."""

"""Low-rank factorization: one layer becomes two or three thinner ones."""

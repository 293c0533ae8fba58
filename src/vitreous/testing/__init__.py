"""Contract checks and slow float64 twins, shipped with the package."""

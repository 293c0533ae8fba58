"""The jobs that there are: one module each, one table of them all."""

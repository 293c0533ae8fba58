"""Compiled loops of structures."""

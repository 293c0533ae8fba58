"""Compiled loops of quality."""

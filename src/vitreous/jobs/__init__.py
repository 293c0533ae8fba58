"""A run: folder, checkpoints, resume, outputs, report."""

"""Two-dimensional methods: alignment, classification, class averages."""

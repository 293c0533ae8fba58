"""Maps: masks, filters, half maps, slices and their adjoint, reconstruction, projection."""

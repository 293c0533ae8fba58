"""The core: scores over (reference, rotation, shift), choices, accumulators."""

"""Programs that ours is measured against; they run in environments of their own."""

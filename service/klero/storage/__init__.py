"""What Klero stores, never public."""

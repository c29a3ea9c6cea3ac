"""What the gateway is told: `settings` is the whole; the others are its parts, and how it is read."""

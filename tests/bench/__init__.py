"""What a simulated call costs, side by side in one run: `make bench`. Never a test: figures, no verdict."""

"""What a scenario may say: `scenario` is the whole; the other modules are its parts."""

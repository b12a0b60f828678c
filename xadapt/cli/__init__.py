"""What commands have in common, and commands that have a room of their own: options -> calls; no logic."""

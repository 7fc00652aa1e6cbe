"""Ways for a batch of events to reach ML Guard, a file each."""

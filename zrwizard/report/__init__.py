"""What is said after the run."""

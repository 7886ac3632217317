"""What an instance's owners decide about it, within its plan."""

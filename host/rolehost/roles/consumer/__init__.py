"""The consumer role: members of consumer groups, which handle events."""

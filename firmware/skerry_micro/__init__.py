"""The adapter for boards without an operating system."""

"""The board: its identity and description. No networking above the link."""

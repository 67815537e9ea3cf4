"""The SD-card image: what is put on a board, never what runs there."""

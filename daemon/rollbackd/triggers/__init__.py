"""Rules + series + now -> pending, firing and inactive, with what was read."""

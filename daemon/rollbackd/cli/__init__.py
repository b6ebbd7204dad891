"""The command line: presents what the rest of the program knows and does, decides nothing."""

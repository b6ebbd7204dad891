"""How a SQLite file and a Redis server are held: one policy each, shared by what stands on them."""

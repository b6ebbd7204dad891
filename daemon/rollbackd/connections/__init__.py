"""How a SQLite file, a Redis server and Kafka are held: one policy each, shared by their users."""

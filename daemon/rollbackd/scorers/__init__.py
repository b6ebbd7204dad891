"""What computes dS of texts and vectors: none of it runs unless `scoring:` is configured."""

"""`make bench`: what the product does against a peer that is measured in the same run."""

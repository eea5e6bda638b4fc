"""Teaching of a concept from a few images: prompt tokens by gradient on a frozen network."""

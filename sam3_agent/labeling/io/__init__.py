"""Import of existing labels and export of verified ones."""

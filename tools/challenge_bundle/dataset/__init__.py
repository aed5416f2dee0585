"""What an import does with images: checks, splits, patient groups, publishing."""

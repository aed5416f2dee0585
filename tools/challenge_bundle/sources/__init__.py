"""Where images come from; every source ends in the same input_data/."""

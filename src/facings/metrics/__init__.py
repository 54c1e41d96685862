"""Pure functions: arrays in, a dict of numbers out."""

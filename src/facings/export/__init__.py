"""Checkpoints in, a verified bundle out."""

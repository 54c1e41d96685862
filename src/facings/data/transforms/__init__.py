"""Augmentation for training, and the one preprocessing for evaluation."""

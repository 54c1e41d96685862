"""Accuracy and latency of a bundle, measured through the runtime."""

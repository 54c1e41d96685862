"""LightningModules: what one training step and one evaluation are."""

"""Error analysis over saved predictions."""

"""Tables, adapters, transforms and data modules."""

"""A shelf-camera world made by procedure, whose truth is known exactly."""

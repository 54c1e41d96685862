"""Assignment and detection losses."""

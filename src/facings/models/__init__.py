"""Networks. They know nothing of data, losses or tasks."""

"""Data: items, views, the sample stream and batches. The package itself imports nothing, least of all torch."""

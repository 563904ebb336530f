"""Data: items, views, the sample stream and batches. Importing the package imports nothing: torch is not always needed."""

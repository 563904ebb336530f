"""Configuration as data: composed by Hydra, checked as a whole, frozen, saved. Nothing here imports torch."""

"""Searches with Optuna: `settings` reads what is asked for, `study` runs it, `report` tells what came out."""

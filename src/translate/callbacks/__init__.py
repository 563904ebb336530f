"""What happens around the step: log, progress, samples, checkpoints, signals."""

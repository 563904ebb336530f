"""Hydra takes launchers from modules below ``hydra_plugins`` only; ours are in `translate.sweeps.launchers`."""

from translate.sweeps.launchers import LAUNCHERS

for launcher in LAUNCHERS:
    launcher.__module__ = __name__  # Hydra checks where a class says that it is defined
    globals()[launcher.__name__] = launcher

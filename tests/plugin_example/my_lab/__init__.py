"""A plug-in of translate: a network, a data set and a model."""

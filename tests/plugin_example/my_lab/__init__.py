"""A plug-in of translate: networks, a data set, a view with its batch type, and two models."""

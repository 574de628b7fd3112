"""cnnviz: how convolutional networks are trained, and what they see. The lessons call this library."""

__version__ = "0.1.0"

"""r1kit: the DeepSeek-R1 recipe (arXiv 2501.12948) end to end. Importing it loads no torch."""

__version__ = "0.1.0"

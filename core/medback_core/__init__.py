"""medback's headless core: what is safe, what is not, and how everything comes back."""

__version__ = "1.0.0"

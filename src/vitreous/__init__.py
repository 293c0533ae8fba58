"""Single-particle cryo-EM: from noisy particle images to structure."""

__version__ = "0.1.0"

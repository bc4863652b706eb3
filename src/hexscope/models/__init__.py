"""Models: their cards, the way from an image to what a network sees and back, and how they are run. Never torch."""

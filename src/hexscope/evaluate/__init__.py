"""Evaluate: how good a result is, with its interval and its n."""

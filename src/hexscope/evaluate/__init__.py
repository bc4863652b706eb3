"""Evaluate: how good a result is on cases never trained on, with its interval and its n, case by case."""

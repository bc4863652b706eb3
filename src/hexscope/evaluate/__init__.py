"""Measure models on cases they were never trained on: figures with their intervals, case by case."""

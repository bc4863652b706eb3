"""The parts of ``benchmarks/readers.py``: readers, their servers, the comparison, the reasons and the page."""

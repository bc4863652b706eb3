"""Reading and writing: the only room that touches files of images, and the only one that knows their formats.

``reading`` goes from a path to series and images, ``writing`` from a thing to a file; the other modules are formats.
"""

"""The guards that judge a case by its own figures.

Pure: file contents in, rows out. A guard either passes ("ok"), leaves a mark in the report ("mark") or makes the case
unfit for comparison ("reject"); each carries the figure it judged, and the evidence for it.
"""

"""The field mapping: JSON events as somebody else writes them -> what native events say.

A mapping file is read into `Description`s with every problem at its position, and compiled to
closures once; an event then costs a few lookups.
"""

"""Bytes to model values: the wire formats that sources read. Pure; time is an argument."""

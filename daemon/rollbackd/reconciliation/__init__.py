"""Receipts against what a system downstream really holds (requirements D4, A4, K14)."""

"""Telling others: alerts of our own, webhooks, and an event for every decision.

Whoever is told may be down for as long as it likes: an incident never waits for them.
"""

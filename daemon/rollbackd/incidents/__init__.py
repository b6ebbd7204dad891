"""The incident: a table of states, one pure step, guardrails, and the runner that performs it."""

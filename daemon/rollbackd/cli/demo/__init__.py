"""The demo: a recorded rollout of a bad canary, played to a real daemon at forty times the speed.

`recording` is what users did, `application` the service that obeys the controls, `traffic` plays
one through the other into the daemon, `observer` looks at the daemon as an operator would, `scene`
holds what is shown and `live`, `plain` and `summary` show it. `drill` is the plot.
"""

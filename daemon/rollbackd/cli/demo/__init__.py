"""The demo: a recorded rollout of a bad canary, played to a real daemon at forty times the speed.

`recording` is what happens, out of the generator; `application` reads the controls for the service
in it, `traffic` plays one under the other into the daemon, `observer` looks at the daemon as an
operator would, `scene` holds what is shown and `live`, `plain` and `summary` show it. `drill` is
what the pipeline does, and when it is over.
"""

"""The `rollbackd` command: registers every subcommand, grouped as a stranger would look for it."""

import typer

from rollbackd.cli import (
    audit,
    backtest,
    checking,
    closing,
    controls,
    demonstration,
    explaining,
    generating,
    incidents,
    levers,
    operating,
    pausing,
    pins,
    reconciling,
    releasing,
    replaying,
    running,
    simulate,
    testing,
    version,
)
from rollbackd.cli.failures import Commands

_DAEMON = "Run the daemon"
_RULES = "Write and prove rules"
_INCIDENTS = "Incidents"
_STATE = "Look"

app = typer.Typer(
    name="rollbackd",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fires the rollback runbook by itself: reads metrics and alerts, pulls the right lever "
    "when a rule says so, watches until it is green and gives everything back.",
    epilog="Exit codes: 0 ok, 1 a check failed or the daemon said no, 2 wrong usage.",
)

app.callback()(version.options_of_all)

app.command("demo", rich_help_panel=_DAEMON)(demonstration.demo)
app.command("run", rich_help_panel=_DAEMON)(running.run)
app.command("version", rich_help_panel=_DAEMON)(version.version)

app.command("check", rich_help_panel=_RULES)(checking.check)
app.command("test", rich_help_panel=_RULES)(testing.run_rule_tests)
app.command("backtest", rich_help_panel=_RULES)(backtest.backtest)
app.command("explain", rich_help_panel=_RULES)(explaining.explain)
app.command("generate", rich_help_panel=_RULES)(generating.generate)
app.command("levers", rich_help_panel=_RULES)(levers.levers)
app.command("replay", rich_help_panel=_RULES)(replaying.replay)
app.command("simulate", rich_help_panel=_RULES)(simulate.simulate)

app.command("incidents", rich_help_panel=_INCIDENTS)(incidents.incidents)
app.command("close", rich_help_panel=_INCIDENTS)(closing.close)
app.add_typer(audit.app, name="audit", rich_help_panel=_INCIDENTS)
app.command("pull", rich_help_panel=_INCIDENTS)(operating.pull)
app.command("decide", rich_help_panel=_INCIDENTS)(operating.decide)
app.command("reconcile", rich_help_panel=_INCIDENTS)(reconciling.reconcile)
app.command("release", rich_help_panel=_INCIDENTS)(releasing.release)
app.command("pause", rich_help_panel=_INCIDENTS)(pausing.pause)
app.command("resume", rich_help_panel=_INCIDENTS)(pausing.resume)
app.command("unlatch", rich_help_panel=_INCIDENTS)(pausing.unlatch)

app.command("status", rich_help_panel=_STATE)(operating.status)
app.add_typer(pins.app, name="pins", rich_help_panel=_STATE)
app.command("controls", rich_help_panel=_STATE)(controls.controls)


def main() -> None:
    """Entry point of the console script and of `python -m rollbackd`."""
    app(prog_name="rollbackd")

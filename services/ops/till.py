"""The operator's command `till`."""

from __future__ import annotations

import logging

import structlog
import typer

from services.ops.commands import on_paper

app = typer.Typer(
    name="till",
    help="See, trace and repair what flows from tills and shops to every other system. "
    "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 would be a dead letter or needs more.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)


@app.callback()
def quiet() -> None:
    """Clients' own log lines are not for people: what goes wrong is told in sentences."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _example(text: str) -> str:
    return f"Example: `{text}`"


app.command("map", epilog=_example("till map shopify order.json --type orders/paid --with order_answer.json"))(
    on_paper.map_
)
app.command("render", epilog=_example("till map square payment.json --with order.json --json | till render hubspot -"))(
    on_paper.render
)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()

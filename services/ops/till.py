"""The operator's command `till`."""

from __future__ import annotations

import logging
from collections.abc import Callable

import structlog
import typer

from services.ops.commands import dlq, on_paper, status, trace

_HELP = (
    "See, trace and repair what flows from tills and shops to every other system. "
    "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 would be a dead letter or needs more."
)


def _group(name: str, about: str) -> typer.Typer:
    return typer.Typer(
        name=name,
        help=about,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode="markdown",
    )


app = _group("till", _HELP)
dlq_app = _group("dlq", "Dead letters: find, understand, edit, replay, discard. Every action is audited.")


@app.callback()
def quiet() -> None:
    """Clients' own log lines are not for people: what goes wrong is told in sentences."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


quiet.__doc__ = _HELP

_COMMANDS: tuple[tuple[typer.Typer, str, Callable[..., None], str], ...] = (
    (app, "status", status.status, "till status --check && echo everything is accounted for"),
    (app, "trace", trace.trace, "till trace R1042"),
    (app, "map", on_paper.map_, "till map shopify order.json --type orders/paid --with shop.json"),
    (app, "render", on_paper.render, "till map square payment.json --with order.json --json | till render hubspot -"),
    (dlq_app, "groups", dlq.groups, "till dlq groups --connection hubspot-main"),
    (dlq_app, "list", dlq.list_, "till dlq list --class poison --since 2h"),
    (dlq_app, "show", dlq.show_, "till dlq show 3fVdgO0tH1bqQvJx5m2kZA"),
    (dlq_app, "replay", dlq.replay, "till dlq replay --connection hubspot-main --reason 'unknown SKU' --rate 5 --yes"),
    (dlq_app, "discard", dlq.discard, "till dlq discard --class poison --reason 'training sales' --yes"),
    (dlq_app, "edit", dlq.edit, "till dlq edit 3fVdgO0tH1bqQvJx5m2kZA --set data.lines.0.sku=ABC-1 --yes"),
)

for _app, _name, _command, _example in _COMMANDS:
    _app.command(_name, epilog=f"Example: `{_example}`")(_command)
app.add_typer(dlq_app)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()

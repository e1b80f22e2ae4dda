"""The operator's command `till`."""

from __future__ import annotations

import logging
from collections.abc import Callable

import structlog
import typer

from services.ops.commands import backfill, day, dlq, on_paper, pausing, setting_up, status, trace

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
day_app = _group("day", "Business days: what each store took, and closing a day by hand.")
topics_app = _group("topics", "The topics in Kafka that this configuration needs.")
dlq_app = _group("dlq", "Dead letters: find, understand, edit, replay, discard, rebuild. Every action is audited.")


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
    (app, "pause", pausing.pause, "till pause hubspot-main --reason 'they move their data'"),
    (app, "resume", pausing.resume, "till resume hubspot-main"),
    (app, "backfill", backfill.backfill, "till backfill square-main --from 2026-11-01 --to 2026-11-08 --wait"),
    (app, "check", setting_up.check, "till check --offline"),
    (app, "migrate", setting_up.migrate, "till migrate"),
    (app, "key", setting_up.key, "export TILLSTREAM_ENCRYPTION_KEY=$(till key)"),
    (app, "schema", setting_up.schema, "till schema > tillstream.schema.json"),
    (app, "map", on_paper.map_, "till map shopify order.json --type orders/paid --with shop.json"),
    (app, "render", on_paper.render, "till map square payment.json --with order.json --json | till render hubspot -"),
    (day_app, "show", day.show_, "till day show --location L1"),
    (day_app, "close", day.close, "till day close L1 2026-11-20"),
    (topics_app, "plan", setting_up.plan, "till topics plan"),
    (topics_app, "apply", setting_up.apply, "till topics apply"),
    (dlq_app, "groups", dlq.groups, "till dlq groups --connection hubspot-main"),
    (dlq_app, "list", dlq.list_, "till dlq list --class poison --since 2h"),
    (dlq_app, "show", dlq.show_, "till dlq show 3fVdgO0tH1bqQvJx5m2kZA"),
    (dlq_app, "replay", dlq.replay, "till dlq replay --connection hubspot-main --reason 'unknown SKU' --rate 5 --yes"),
    (dlq_app, "discard", dlq.discard, "till dlq discard --class poison --reason 'training sales' --yes"),
    (dlq_app, "rebuild", dlq.rebuild, "till dlq rebuild --connection hubspot-main --dry-run"),
    (dlq_app, "edit", dlq.edit, "till dlq edit 3fVdgO0tH1bqQvJx5m2kZA --set data.lines.0.sku=ABC-1 --yes"),
)

for _app, _name, _command, _example in _COMMANDS:
    _app.command(_name, epilog=f"Example: `{_example}`")(_command)
for _sub in (dlq_app, day_app, topics_app):
    app.add_typer(_sub)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()

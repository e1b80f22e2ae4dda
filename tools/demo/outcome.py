"""After the last day."""


async def conclude(story, installation, running, simulators, sender, observer, played, began, *, keep):
    import time, json

    print("elapsed", time.monotonic() - began, sender.sent, sender.slowest)
    from tools.demo.installation import till, FOLDER
    from tools.demo.configuration import setup
    from datetime import timedelta

    status = await till(running.env, "status")
    status["canonical_days"] = await observer.canonical_days()
    (FOLDER / "status.json").write_text(json.dumps(status, default=str))
    (FOLDER / "setup.json").write_text(json.dumps(setup(story.stores, [])))
    import asyncio, sys

    p = await asyncio.create_subprocess_exec(
        sys.executable,
        "tools/verify_demo.py",
        "--sandbox",
        running.sandbox,
        "--setup",
        str(FOLDER / "setup.json"),
        "--status",
        str(FOLDER / "status.json"),
        "--save",
        str(FOLDER / "state"),
        "--out",
        str(FOLDER / "report.json"),
    )
    return await p.wait()

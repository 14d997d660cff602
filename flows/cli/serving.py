"""`superalign up`, `down`, `schedule` and `serve`."""

from __future__ import annotations

import argparse
import os
import sys

from flows import clock, environment, servers
from flows.cli import screen
from superalign.errors import ConfigError


def up(options: argparse.Namespace) -> int:
    """Starts the servers that do not run."""
    environment.quiet()
    return _show(servers.up(), options.json)


def down(options: argparse.Namespace) -> int:
    """Ends the servers."""
    ended = servers.down()
    if options.json:
        screen.emit({"ended": [server.name for server in ended]})
    else:
        screen.say(f"ended: {', '.join(server.name for server in ended) or 'nothing ran'}")
    return 0


def schedule(options: argparse.Namespace) -> int:
    """Adds, removes or lists what runs by the clock."""
    from flows.cli.running import round_config
    from superalign.recipe import CampaignConfig

    if options.settings and not options.cron:
        raise ConfigError('a schedule needs --cron, for example --cron "0 2 * * 1": Mondays at two')
    config = CampaignConfig(round=round_config(options.settings, []).fitting(), rounds=options.rounds)
    environment.quiet()
    if options.cron:
        clock.check(options.cron, options.timezone)
    if "PREFECT_API_URL" not in os.environ:  # whoever names a server runs a worker for it too
        servers.up(worker=bool(options.cron))
    environment.prepare()
    from flows import schedule as schedules

    with environment.translated():
        if options.cron:
            schedules.add(config, options.cron, options.timezone)
        if options.remove:
            schedules.remove(options.remove)
        found = schedules.listed()
    if options.json:
        screen.emit({"schedules": [row.model_dump() for row in found]})
    elif found:
        screen.table(("name", "cron", "timezone", "recipe", "rounds"), [tuple(row.model_dump().values()) for row in found])
    else:
        screen.say("nothing is scheduled")
    return 0


def serve(options: argparse.Namespace) -> int:
    """Says where a version is served and what it is called there, and becomes its server."""
    environment.quiet()
    from flows.serve import become, prepare
    from superalign.serving import LOOPBACK, default

    through = options.engine or default()
    words, names = prepare(options.version, through, options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{host}:{options.port}/v1"
    if options.host not in LOOPBACK:
        warning = (
            f"warning: --host {options.host} is no loopback address: whoever reaches this machine may use the server, without a password"
        )
        print(screen.clean(warning), file=sys.stderr)
    if options.json:
        screen.emit({"url": url, "models": names, "engine": through})
    else:
        screen.say(f"{names[0]} through {through} at {url}, as {', '.join(names)}; ready when {url[:-3]}/health answers, Ctrl-C ends it")
    sys.stdout.flush()
    become(words)
    return 0


def _show(running: list[servers.Server], as_json: bool) -> int:
    if as_json:
        screen.emit({"servers": [server.model_dump() for server in running]})
    else:
        screen.table(("server", "url", "pid", "log"), [(server.name, server.url, server.pid, server.log) for server in running])
    return 0

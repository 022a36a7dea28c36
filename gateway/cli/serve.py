"""`sidegate serve`: the global gateway, the admin API and the pipelines, until SIGTERM."""

from __future__ import annotations

import argparse
import os

from gateway import config
from gateway.access.keys import Credentials
from gateway.assembly import serve_forever
from gateway.cli.command import Nouns, common_options
from gateway.cli.output import Output
from gateway.errors import Invalid, Reason


def add(nouns: Nouns) -> None:
    """Add the noun."""
    parser = nouns.add_parser(
        "serve",
        help="run the global gateway, the admin API and the pipelines",
        parents=[common_options(defaults=False)],
    )
    parser.set_defaults(serve=True)
    parser.add_argument("--listen", metavar="HOST:PORT", default=config.S3_LISTEN)
    parser.add_argument("--admin-listen", metavar="HOST:PORT", default=config.ADMIN_LISTEN)
    parser.add_argument("--workers", type=int, metavar="N", default=1)
    parser.add_argument("--auth", choices=["none", "keys"], default="none")
    parser.add_argument("--domain", metavar="NAME", default="", help="of bucket.NAME addresses")
    parser.add_argument(
        "--insecure", action="store_true", help="allow no authentication on a network address"
    )
    parser.add_argument("--job-listen", metavar="HOST", default="127.0.0.1")
    parser.add_argument("--job-advertise", metavar="HOST", help="what S3_ENDPOINT says in jobs")
    parser.add_argument("--no-pipelines", action="store_true", help="run no jobs")


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Serve until told to end; return the exit code."""
    if arguments.workers != 1:
        raise Invalid(
            Reason.BAD_USAGE,
            f"--workers {arguments.workers}: this version serves with one worker",
            "use --workers 1",
        )
    settings = config.Serve(
        listen=config.address(arguments.listen),
        admin_listen=config.address(arguments.admin_listen),
        auth=arguments.auth,
        domain=arguments.domain,
        insecure=arguments.insecure,
        pipelines=not arguments.no_pipelines,
        job_listen=arguments.job_listen,
        job_advertise=arguments.job_advertise,
    )
    settings.check()
    data = config.data_directory(arguments.data, os.environ)

    def ready(s3_url: str, admin_url: str) -> None:
        print(f"ready s3={s3_url} admin={admin_url}", file=out.stdout, flush=True)

    credentials = Credentials.from_environment(os.environ) if settings.auth == "keys" else None
    return serve_forever(data, settings, credentials, ready)

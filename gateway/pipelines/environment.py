"""The environment of user code, exactly: what each variable says, and which wins. Pure.

From weakest to strongest: the executor's own (PATH, LANG, HOME, TMPDIR, PFS_ROOT), the AWS
variables, the spec's `transform.env`, the inputs, and what tells the code where it is
(`S3_ENDPOINT`, `PACH_*`, `PPS_*`). An input may have any name, so it never replaces a variable
that is there already. Nothing else of the gateway's own environment is passed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.pipelines.datum import Datum
from gateway.pipelines.job import Job
from gateway.pipelines.spec import Spec

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Access:
    """How the code reaches its gateway. Keys are not asked for there, and have to look right."""

    url: str
    key_id: str
    secret: str


def variables(
    base: Mapping[str, str],
    pfs: str,
    spec: Spec,
    job: Job,
    datum: Datum,
    access: Access | None,
) -> dict[str, str]:
    """Return the whole environment of an attempt; `pfs` is the folder as the code sees it."""
    result = dict(base)
    if access is not None:
        result |= {
            "AWS_ENDPOINT_URL": access.url,
            "AWS_ENDPOINT_URL_S3": access.url,
            "AWS_ACCESS_KEY_ID": access.key_id,
            "AWS_SECRET_ACCESS_KEY": access.secret,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }
    result |= spec.transform.env
    if "PFS_ROOT" in base:
        result["PFS_ROOT"] = base["PFS_ROOT"]
    own = {
        "PACH_JOB_ID": job.id,
        "PACH_OUTPUT_COMMIT_ID": job.output_commit or "",
        "PACH_DATUM_ID": datum.id,
        "PPS_PIPELINE_NAME": spec.name,
        "PPS_PROJECT_NAME": spec.project,
    }
    if access is not None:
        own["S3_ENDPOINT"] = access.url
    commits = {each.name: each.commit for each in job.inputs}
    for item in datum.items:
        path = f"{pfs}/{item.input}"
        inputs = {
            item.input: f"{path}/{item.path}" if item.path else path,
            f"{item.input}_COMMIT": commits[item.input],
        }
        for name, value in inputs.items():
            if name not in own:
                result.setdefault(name, value)
    return result | own


def env_file(values: Mapping[str, str]) -> str:
    """Return variables as a shell reads them: the text of `/pfs/.env`."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in values.items()]
    return "".join(sorted(lines))

"""Credentials of AWS: which link of the chain gives them, and whether they still hold. No value."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.choice import remembered
from ess_dask.credentials import resolve
from ess_dask.doctor.model import Check, fail, of_error, ok, skipped
from ess_dask.errors import EssError

if TYPE_CHECKING:
    from ess_dask.doctor.subject import Subject

_LINKS = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the file of AWS's credentials",
    "config-file": "the file of AWS's configuration",
    "assume-role": "a role that is assumed by a profile",
    "assume-role-with-web-identity": "a role that is assumed with a web identity",
    "sso": "a login by IAM Identity Center",
    "login": "a login by aws login",
    "custom-process": "a process that a profile names",
    "iam-role": "the role of this machine",
    "container-role": "the role of this container",
    "boto-config": "the file of boto's configuration",
    "ec2-credentials-file": "the file that AWS_CREDENTIAL_FILE names",
}
"""What botocore calls the links of its chain, in words."""


def check_credentials(subject: Subject) -> tuple[Check, ...]:
    """Say of each kind of credentials in use where they come from; the answer of S3 says more.

    A check for each reference that a datastore or the cluster holds, and one for what the cluster
    or the warehouse takes from AWS's own chain.
    """
    references = {store.credentials for store in subject.stores if not store.is_local}
    references |= _of_others(subject)
    if not references:
        return (skipped("credentials", "nothing here needs AWS"),)
    return tuple(_check(reference) for reference in sorted(references))


def _of_others(subject: Subject) -> set[str]:
    """Return what the warehouse and the cluster in force ask AWS with."""
    from ess_dask.cluster.ec2.find import name_in
    from ess_dask.cluster.ec2.state import remembered_credentials
    from ess_dask.doctor.warehouse import redshift_url

    found: set[str] = set()
    # What is wrong with them is said by the checks of the warehouse and of the cluster.
    with suppress(EssError):
        url = redshift_url(subject.url)
        if url is not None and (url.address.iam or url.address.secret or url.options.stage):
            found.add("")
    with suppress(EssError):
        if (subject.settings.cluster or remembered()) == "ec2":
            found.add(remembered_credentials(name_in(subject.settings)))
    return found


def _check(reference: str) -> Check:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    name = f"credentials {reference}".rstrip()
    try:
        keys = resolve(reference)
    except EssError as error:
        return of_error(name, error)
    if keys.access_key:
        return ok(name, f"from {reference.removeprefix('file:')}")
    try:
        found = Session(profile=keys.profile or None).get_credentials()
        if found is not None:
            # What is about to end is fetched anew by this.
            found.get_frozen_credentials()
    except (BotoCoreError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        return fail(name, f"cannot be had: {said}", "log in again, or check ~/.aws/config")
    return _told(name, found)


def _told(name: str, found: Any) -> Check:
    if found is None:
        advice = "set AWS_PROFILE, or select the datastore with --credentials FILE.csv"
        return fail(name, "no link of AWS's chain gives any", advice)
    where = f"from {_LINKS.get(found.method, found.method)}"
    lasting = " (a session: they end)" if found.token else ""
    return ok(name, f"{where}{lasting}")

"""Who may connect: the caller's address to the scheduler's port, the machines to each other.

Nothing is ever open to everybody. The group's name is the cluster's, and a VPC takes a name once:
of two commands that make the same cluster on two machines, one finds that it is too late.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from ess_dask.cluster.ec2.errors import asking, told
from ess_dask.cluster.ec2.find import PORT, Place
from ess_dask.cluster.ec2.plan import as_tags, group_tags
from ess_dask.errors import ConfigError, LockedError, TransientError
from ess_dask.folders import cache_dir
from ess_dask.settings import Settings

ASK = "https://checkip.amazonaws.com"

_STALE_SECONDS = 900
_ASK_SECONDS = 5.0
_DELETE_SECONDS = 90.0
_AGAIN_SECONDS = 2.0


def caller_network(settings: Settings) -> str:
    """Return the network the caller connects from, as ``203.0.113.7/32``.

    ``my_address`` says it; without it the address is that of this machine (``private``), or asked
    of ``checkip.amazonaws.com``. Raises ``ConfigError`` for a network that is everybody's, and
    ``TransientError`` when nobody can be asked or the answer is no address.
    """
    text = settings.my_address or (_own_address() if settings.private else _public_address())
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not an address or network (IPv4)",
            hint="write ESS_MY_ADDRESS like 203.0.113.7 or 10.20.0.0/16",
        ) from None
    if network.prefixlen < 8:
        raise ConfigError(
            f"{network} would let in half the internet",
            hint="set ESS_MY_ADDRESS to the address or network from which you connect",
        )
    return str(network)


def make_group(ec2: Any, place: Place, vpc: str, network: str) -> str:
    """Make the group of a cluster that has no machines; return its id.

    What an interrupted command left is replaced. ``LockedError`` when another machine is just
    making the same cluster; after any error no group of ours is left.
    """
    from botocore.exceptions import ClientError

    left = find_groups(ec2, place, vpc)
    for group in left:
        _check_not_in_use(group, place)
        _delete(ec2, place, group["GroupId"])
    try:
        made = ec2.create_security_group(
            GroupName=f"ess/{place.owner}/{place.name}",
            Description=f"ess-dask cluster {place.name}",
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": _tags(place)}],
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "InvalidGroup.Duplicate":
            raise _being_made(place, "another machine") from None
        raise told(error, "ec2:CreateSecurityGroup", str(place)) from None
    group_id = str(made["GroupId"])
    try:
        _open(ec2, place, group_id, network)
    except BaseException:
        _delete(ec2, place, group_id)
        raise
    return group_id


def _open(ec2: Any, place: Place, group_id: str, network: str) -> None:
    with asking("ec2:DescribeSecurityGroups", str(place)):
        # What was just made is not known everywhere in EC2 at once.
        ec2.get_waiter("security_group_exists").wait(GroupIds=[group_id])
    with asking("ec2:AuthorizeSecurityGroupIngress", str(place)):
        ec2.authorize_security_group_ingress(
            GroupId=group_id,
            IpPermissions=[
                _from_network(network),
                {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]},
            ],
        )


def let_in(ec2: Any, place: Place, network: str) -> bool:
    """Let the caller's network in, and no other one any more; say whether that was a change.

    Only the cluster's own group is changed: a machine may have been given others.
    """
    found = _group(ec2, place)
    group_id = found["GroupId"]
    known = [
        str(each["CidrIp"])
        for rule in found["IpPermissions"]
        if rule.get("FromPort") == PORT
        for each in rule["IpRanges"]
    ]
    if known == [network]:
        return False
    if network not in known:
        with asking("ec2:AuthorizeSecurityGroupIngress", str(place)):
            ec2.authorize_security_group_ingress(
                GroupId=group_id, IpPermissions=[_from_network(network)]
            )
    for other in set(known) - {network}:
        with asking("ec2:RevokeSecurityGroupIngress", str(place)):
            ec2.revoke_security_group_ingress(
                GroupId=group_id, IpPermissions=[_from_network(other)]
            )
    return True


def group_of(ec2: Any, place: Place) -> str:
    """Return the group of a cluster; ``ConfigError`` when somebody has deleted it."""
    return str(_group(ec2, place)["GroupId"])


def _group(ec2: Any, place: Place) -> dict[str, Any]:
    if not (found := find_groups(ec2, place)):
        raise ConfigError(
            f"{place} has lost its security group", hint="ess cluster terminate, then create"
        )
    return found[0]


def find_groups(ec2: Any, place: Place, vpc: str = "") -> list[dict[str, Any]]:
    """Return the groups that carry a cluster's tags, those of its first owner that has some."""
    tags = {"tag:ess:cluster": [place.name], "tag:ess:owner": place.owners}
    filters: list[dict[str, Any]] = [
        {"Name": name, "Values": values} for name, values in tags.items()
    ]
    if vpc:
        filters.append({"Name": "vpc-id", "Values": [vpc]})
    with asking("ec2:DescribeSecurityGroups", str(place)):
        found = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    by_owner: dict[str, list[dict[str, Any]]] = {}
    for group in found:
        tags_of = {tag["Key"]: tag["Value"] for tag in group.get("Tags", ())}
        by_owner.setdefault(tags_of.get("ess:owner", place.owner), []).append(group)
    return next((by_owner[owner] for owner in place.owners if owner in by_owner), [])


def delete_groups(
    ec2: Any, place: Place, say: Callable[[str], None], meanwhile: Callable[[], None]
) -> int:
    """Delete the groups of a cluster whose machines have ended; return how many there were.

    ``meanwhile`` is called as long as one is still in use.
    """
    groups = find_groups(ec2, place)
    for group in groups:
        _delete(ec2, place, group["GroupId"], meanwhile)
        say(f"security group {group['GroupId']} deleted")
    return len(groups)


def _delete(
    ec2: Any, place: Place, group_id: str, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Delete a group; EC2 lets go of the machines in it a while after they have ended."""
    from botocore.exceptions import ClientError

    ends = time.monotonic() + _DELETE_SECONDS
    while True:
        try:
            ec2.delete_security_group(GroupId=group_id)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "InvalidGroup.NotFound":
                return
            if code not in ("DependencyViolation", "InvalidGroup.InUse"):
                raise told(error, "ec2:DeleteSecurityGroup", str(place)) from None
            if time.monotonic() > ends:
                raise TransientError(
                    f"{place}: security group {group_id} is still in use",
                    hint="run it again: ess cluster terminate",
                ) from None
            meanwhile()
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def _check_not_in_use(group: dict[str, Any], place: Place) -> None:
    """Refuse when another machine than this one began to make the cluster a moment ago."""
    tags = {tag["Key"]: tag["Value"] for tag in group.get("Tags", ())}
    maker, begun = tags.get("ess:maker", ""), tags.get("ess:begun", "0")
    age = time.time() - (float(begun) if begun.isdigit() else 0)
    # From here the lock is ours, so nobody else is making it.
    if maker != _maker() and age < _STALE_SECONDS:
        raise _being_made(place, maker)


def _maker() -> str:
    """Return from where a cluster is made: this machine, and the folder with the lock."""
    folder = hashlib.sha256(os.fsencode(cache_dir())).hexdigest()[:8]
    return f"{os.uname().nodename} ({folder})"


def _being_made(place: Place, maker: str) -> LockedError:
    return LockedError(
        f"{place} is just being made by {maker}", hint="wait, then look: ess cluster status"
    )


def _tags(place: Place) -> list[dict[str, Any]]:
    about = {"ess:maker": _maker(), "ess:begun": f"{time.time():.0f}"}
    return as_tags({**group_tags(place), "Name": place.name, **about})


def _from_network(network: str) -> dict[str, Any]:
    ranges = [{"CidrIp": network, "Description": "who made the cluster"}]
    return {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "IpRanges": ranges}


def _own_address() -> str:
    """Return the address of this machine towards a private network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 9))
        except OSError:
            raise TransientError(
                "this machine has no address in a network", hint="set ESS_MY_ADDRESS"
            ) from None
        return str(probe.getsockname()[0])


def _public_address() -> str:
    """Return the address that the internet sees; what is no address is not passed on."""
    try:
        with urllib.request.urlopen(ASK, timeout=_ASK_SECONDS) as answer:
            said = answer.read(64).decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        with error:
            raise _not_told(f"HTTP {error.code} {error.reason}") from None
    except (http.client.InvalidURL, ValueError):
        # Not shown: there may be a password in it.
        raise _not_told("the proxy in HTTPS_PROXY is not a URL") from None
    except (OSError, http.client.HTTPException) as error:
        raise _not_told(str(getattr(error, "reason", error))) from None
    try:
        return str(ipaddress.IPv4Address(said))
    except ValueError:
        raise _not_told(f"it answers {said!r}") from None


def _not_told(why: str) -> TransientError:
    return TransientError(
        f"{ASK} does not say which address you have: {why}",
        hint="set ESS_MY_ADDRESS to the address from which you connect",
    )

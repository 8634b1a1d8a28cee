"""The EC2 of tests: instances that boot as processes in a private network of their own.

Where this machine does not permit that, the tests that need it are skipped with the reason, which
pytest prints at its end.
"""

import base64
import gzip
import json
import textwrap
from contextlib import contextmanager

import pytest


@contextmanager
def started(folder):
    """Yield a stand-in; skip the test where there cannot be one."""
    from ess_dask.testing.ec2 import standin, unavailable

    if reason := unavailable():
        pytest.skip(f"no EC2 stand-in on this machine: {reason}")
    with standin(folder) as running:
        yield running


def ubuntu(ec2):
    """Return an image to start."""
    return ec2.boto("ec2").describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]


def launch(ec2, user_data="", count=1, **more):
    """Start instances with user data (text, or a cloud-config as a dict); return their ids."""
    if isinstance(user_data, dict):
        user_data = "#cloud-config\n" + json.dumps(user_data)
    options = {"ImageId": ubuntu(ec2), "InstanceType": "m5.large", "UserData": user_data}
    answer = ec2.boto("ec2").run_instances(MinCount=count, MaxCount=count, **options | more)
    return [instance["InstanceId"] for instance in answer["Instances"]]


def cloud_config(*runcmd, units=None, files=None):
    """Return a cloud-config that writes units (by name) and files (by path) and runs commands."""
    files = dict(files or {})
    for name, text in (units or {}).items():
        files[f"/etc/systemd/system/{name}.service"] = textwrap.dedent(text)
    writes = [{"path": path, "content": content} for path, content in files.items()]
    return {"write_files": writes, "runcmd": list(runcmd)}


def compressed(config):
    """Return a cloud-config as a file compressed by gzip, in base64, for tests of the raw form."""
    data = gzip.compress(("#cloud-config\n" + json.dumps(config)).encode())
    return base64.b64encode(data).decode()

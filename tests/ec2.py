"""What tests of EC2 start on the stand-in (fixture ``ec2``), and how they wait for it.

Where this machine does not permit a private network, those tests are skipped with the reason, which
pytest prints at its end.
"""

import base64
import gzip
import json
import textwrap
import time

UBUNTU = "ami-785db401"
"""An image that moto knows, in every region."""


def launch(ec2, user_data="", count=1, **more):
    """Start instances with user data (text, or a cloud-config as a dict); return their ids."""
    if isinstance(user_data, dict):
        user_data = "#cloud-config\n" + json.dumps(user_data)
    options = {"ImageId": UBUNTU, "InstanceType": "m5.large", "UserData": user_data}
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


def wait_until(condition, seconds=30.0):
    """Wait for a condition; fail when it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)

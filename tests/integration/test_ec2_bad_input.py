"""What cannot be done on EC2 is told clearly, with the documented exit code, and leaves nothing."""

import pytest

from ess_dask.testing.ec2.person import Person

pytestmark = [
    pytest.mark.usefixtures("ec2_permitted"),
    pytest.mark.timeout(300),
]

NO_WAY_OUT = {"ESS_MY_ADDRESS": "", "HTTPS_PROXY": "http://127.0.0.1:9"}
"""Nobody says the address, and who would be asked cannot be reached; no name is looked up."""


@pytest.fixture
def cloud(ec2):
    return ec2


@pytest.fixture
def anna(cloud, tmp_path):
    yield Person(cloud, tmp_path / "anna")
    cloud.clear_faults()
    live = cloud.instances("pending", "running", "stopping", "stopped")
    groups = cloud.boto("ec2").describe_security_groups()["SecurityGroups"]
    assert (live, [group["GroupName"] for group in groups if group["GroupName"] != "default"]) == (
        [],
        [],
    )
    assert not (tmp_path / "anna" / ".ess" / "clusters" / "ess-anna" / "cluster.json").exists()


@pytest.mark.parametrize(
    ("action", "failure", "words", "code", "said"),
    [
        ("DescribeInstances", "ExpiredToken", ["status"], 3, "the AWS credentials have expired"),
        ("DescribeInstances", "UnauthorizedOperation", ["iplist"], 3,
         "ec2:DescribeInstances is not allowed"),
        ("RunInstances", "UnauthorizedOperation", ["create"], 3, "ec2:RunInstances is not allowed"),
        ("RunInstances", "VcpuLimitExceeded", ["create"], 3, "quota of the account is used up"),
        ("RunInstances", "InsufficientInstanceCapacity", ["create"], 1, "has no capacity"),
        ("AuthorizeSecurityGroupIngress", "UnauthorizedOperation", ["create"], 3,
         "ec2:AuthorizeSecurityGroupIngress is not allowed"),
        ("DescribeImages", "InvalidAMIID.NotFound", ["create", "--ami", "ami-0"], 2,
         "the machine image does not exist"),
    ],
)  # fmt: skip
def test_what_aws_refuses(anna, cloud, action, failure, words, code, said):
    cloud.fail(action, failure, times=-1)
    told = anna.ess("cluster", *words, code=code).stderr
    assert said in told and "hint: " in told
    assert "EXAMPLEKEY" not in told


def test_a_worker_that_gets_no_capacity_ends_what_came_before_it(anna, cloud):
    """The scheduler's machine is there already when AWS has no spot instance left."""
    import threading

    from ess_dask.testing.ec2.client import until

    def later():
        until(lambda: cloud.instances("running"), 200, lambda: "no scheduler")
        cloud.fail("RunInstances", "InsufficientInstanceCapacity", times=-1)

    watching = threading.Thread(target=later)
    watching.start()
    told = anna.ess("cluster", "create", "--spot", "--number", "2", code=1).stderr
    watching.join()
    assert "no capacity" in told and "without --spot" in told
    assert "1 machine terminated" in told and "nothing is left" in told


@pytest.mark.parametrize(
    ("words", "env", "code", "said"),
    [
        (["create", "--type", "m9.huge"], {}, 2, "m9.huge"),
        (["create", "--type", "m7g.xlarge", "--ami", "AMI"], {}, 2, "is for x86_64"),
        (["create", "--number", "-1"], {}, 2, "-1 is not in the range"),
        (["create", "--idle-timeout", "soon"], {}, 2, "is not a duration"),
        (["create", "--image", "no such; image"], {}, 2, "not the name of a docker image"),
        (["create"], {"ESS_MY_ADDRESS": "0.0.0.0/0"}, 2, "half the internet"),
        (["create"], NO_WAY_OUT, 1, "hint: set ESS_MY_ADDRESS to the address"),
        (["create"], {"ESS_SUBNET": "subnet-12345678"}, 2, "subnet-12345678 does not exist"),
        (["create"], {"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""}, 3, "no AWS cred"),
        (["status"], {"AWS_ACCESS_KEY_ID": "AKIAWRONGWRONGWRONG"}, 3, "were refused"),
        (["status"], {"AWS_PROFILE": "nobody", "AWS_ACCESS_KEY_ID": ""}, 3, "nobody"),
        (["status"], {"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}, 2, "no AWS region is known"),
        (["status", "--aws_access_key", "x"], {}, 2, "belong together"),
        (["add", "i-12345678"], {}, 2, "does not exist"),
        (["remove", "i-12345678"], {}, 2, "does not exist"),
        (["create", "--add"], {}, 2, "does not exist"),
        (["start"], {}, 2, "does not exist"),
        (["stop"], {}, 0, "does not exist"),
        (["terminate", "-y"], {}, 0, "does not exist"),
        (["terminate", "-y", "--all"], {}, 0, "does not exist"),
        (["reset"], {}, 0, "nothing is kept here"),
        (["status"], {}, 0, ""),
        (["iplist"], {}, 0, ""),
    ],
)  # fmt: skip
def test_what_a_person_gets_wrong(anna, cloud, words, env, code, said):
    ami = cloud.boto("ssm").get_parameter(
        Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    )["Parameter"]["Value"]
    words = [ami if word == "AMI" else word for word in words]
    told = anna.ess("cluster", *words, code=code, env=env)
    assert said in told.stderr
    if code:
        assert "EXAMPLEKEY" not in told.stderr


def test_work_on_a_cluster_that_is_not_there_says_how_to_make_it(anna):
    told = anna.ess("server", "commit", code=2).stderr
    assert "cluster ess-anna does not exist in us-east-1" in told
    assert "ess cluster create" in told


def test_another_region_than_the_one_it_was_made_in_is_named(anna):
    folder = anna.home / ".ess" / "clusters" / "ess-anna"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "cluster.json").write_text('{"region": "eu-west-1"}')
    told = anna.ess("cluster", "terminate", "-y", "--region", "us-west-2").stderr
    assert "it was made in eu-west-1: --region eu-west-1" in told
    told = anna.ess("cluster", "create", "--add", "--region", "us-west-2", code=2).stderr
    assert "does not exist" in told and "it was made in eu-west-1: --region eu-west-1" in told
    assert "does not exist" in anna.ess("cluster", "terminate", "-y").stderr

"""What AWS answers, as a user reads it: the thing, the missing action, the next step, the code."""

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from ess_dask.cluster.ec2.errors import asking, settled
from ess_dask.errors import AccessError, ConfigError, EssError, TransientError

CANARY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def told(code, message="no.", operation="RunInstances"):
    answer = {"Error": {"Code": code, "Message": message}}
    return raised(boto.ClientError(answer, operation))


def raised(error):
    with pytest.raises(EssError) as found, asking("ec2:RunInstances", "cluster x in eu-west-1"):
        raise error
    assert found.value.hint
    assert CANARY not in str(found.value)
    assert found.value.message.startswith("cluster x in eu-west-1: ") or "region" in str(
        found.value
    )
    return found.value


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("UnauthorizedOperation", AccessError, "ec2:RunInstances is not allowed"),
        ("AccessDeniedException", AccessError, "ec2:RunInstances is not allowed"),
        ("ExpiredToken", AccessError, "have expired"),
        ("RequestExpired", AccessError, "have expired"),
        ("AuthFailure", AccessError, "were refused"),
        ("InvalidClientTokenId", AccessError, "were refused"),
        ("VcpuLimitExceeded", AccessError, "a quota of the account is used up"),
        ("MaxSpotInstanceCountExceeded", AccessError, "a quota of the account is used up"),
        ("InsufficientInstanceCapacity", TransientError, "has no capacity"),
        ("RequestLimitExceeded", TransientError, "AWS answered RequestLimitExceeded"),
        ("Unavailable", TransientError, "AWS answered Unavailable"),
        ("InvalidInstanceType", ConfigError, "the instance type does not exist"),
        ("InvalidAMIID.NotFound", ConfigError, "the machine image does not exist"),
        ("InvalidSubnetID.NotFound", ConfigError, "the subnet does not exist"),
        ("InvalidIamInstanceProfile.NotFound", ConfigError, "instance profile does not exist"),
    ],
)
def test_an_answer_is_told_with_its_type_and_exit_code(code, kind, words):
    error = told(code)
    assert type(error) is kind
    assert words in error.message
    assert error.exit_code == {AccessError: 3, TransientError: 1, ConfigError: 2}[kind]


@pytest.mark.parametrize("code", ["IncorrectInstanceState", "InternalError", "ServiceUnavailable"])
def test_what_passes_is_worth_another_try(code):
    error = told(code)
    assert isinstance(error, TransientError) and error.exit_code == 1
    assert code in error.message and error.hint == "try again"


@pytest.mark.slow
def test_a_machine_on_its_way_from_one_state_to_another_is_waited_for():
    answers = ["IncorrectInstanceState", "IncorrectInstanceState", ""]

    def stop(InstanceIds):
        if code := answers.pop(0):
            raise boto.ClientError({"Error": {"Code": code, "Message": "no."}}, "StopInstances")
        return InstanceIds

    assert settled("ec2:StopInstances", "cluster x", stop, InstanceIds=["i-1"]) == ["i-1"]
    answers[:] = ["UnauthorizedOperation", ""]
    with pytest.raises(AccessError, match="ec2:StopInstances is not allowed"):
        settled("ec2:StopInstances", "cluster x", stop, InstanceIds=["i-1"])
    assert answers == [""]


def test_the_action_that_is_named_is_the_one_that_is_missing():
    said = "User: arn:aws:iam::1:user/x is not authorized to perform: iam:PassRole on resource: y"
    assert "iam:PassRole is not allowed" in told("UnauthorizedOperation", said).message
    assert "ec2:CreateTags is not allowed" in told("AccessDenied", "", "CreateTags").message


def test_an_unknown_type_in_the_words_of_runinstances():
    error = told("InvalidParameterValue", "Invalid value 'm9.huge' for InstanceType.")
    assert isinstance(error, ConfigError)
    assert "--type" in error.hint


def test_what_is_not_known_keeps_its_code_and_words():
    error = told("SomethingNew", "all is\n  different")
    assert (error.exit_code, "SomethingNew: all is different" in error.message) == (2, True)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (boto.NoCredentialsError(), AccessError, "no AWS credentials"),
        (boto.PartialCredentialsError(provider="env", cred_var="x"), AccessError, "no AWS cred"),
        (boto.EndpointConnectionError(endpoint_url="https://x"), TransientError, "be reached"),
        (boto.ConnectTimeoutError(endpoint_url="https://x"), TransientError, "be reached"),
        (boto.ReadTimeoutError(endpoint_url="https://x"), TransientError, "be reached"),
        (boto.ProfileNotFound(profile="p"), AccessError, "(p)"),
        (boto.NoRegionError(), ConfigError, "no AWS region"),
        (boto.ParamValidationError(report="bad"), ConfigError, "bad"),
        (ResponseParserError("no XML: <html>..."), TransientError, "not as AWS does"),
    ],
)
def test_what_botocore_finds_itself_is_told_too(error, kind, words):
    found = raised(error)
    assert isinstance(found, kind)
    assert words in found.message

"""What moto accepts, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.fleet.moto import AccessKey, Moto

SECRET, PARAMETER, BUCKET = "fleet", "/fleet", "fleet-bucket"


def use(moto: Moto, key: AccessKey, *, batches: bool = True) -> None:
    """Read a secret and a parameter, which must be there."""
    secrets, parameters = moto.client("secretsmanager", key), moto.client("ssm", key)
    secrets.get_secret_value(SecretId=SECRET)
    parameters.get_parameter(Name=PARAMETER, WithDecryption=True)
    if batches:
        secrets.batch_get_secret_value(SecretIdList=[SECRET])
        parameters.get_parameters(Names=[PARAMETER], WithDecryption=True)


@pytest.fixture(scope="module")
def filled(moto: Moto) -> Moto:
    """Return moto with a secret, a parameter and a bucket."""
    moto.client("secretsmanager").create_secret(Name=SECRET, SecretString="value")
    moto.client("ssm").put_parameter(Name=PARAMETER, Value="value", Type="SecureString")
    moto.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": moto.region}
    )
    return moto


def test_user_may_do_all_of_it(filled: Moto) -> None:
    """The user reads secrets, parameters and objects."""
    use(filled, filled.user)
    objects = filled.client("s3")
    objects.put_object(Bucket=BUCKET, Key="a", Body=b"value")
    assert b"value" == objects.get_object(Bucket=BUCKET, Key="a")["Body"].read()


def test_reader_may_not_read_batches(filled: Moto) -> None:
    """The reader reads single secrets and parameters."""
    use(filled, filled.reader, batches=False)
    with pytest.raises(ClientError, match="not authorized"):
        use(filled, filled.reader)


def test_others_may_do_nothing(filled: Moto) -> None:
    """A wrong secret, and a key without rights, are refused by each service."""
    for key, words in ((filled.wrong, "signature"), (filled.stranger, "not authorized")):
        with pytest.raises(ClientError, match=words):
            filled.client("secretsmanager", key).get_secret_value(SecretId=SECRET)
        with pytest.raises(ClientError, match=words):
            filled.client("ssm", key).get_parameters(Names=[PARAMETER])
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        filled.client("s3", filled.wrong).get_object(Bucket=BUCKET, Key="a")


def test_requests_are_counted(filled: Moto) -> None:
    """Each request counts, also one that is refused."""
    before = filled.calls()
    use(filled, filled.user)
    with pytest.raises(ClientError):
        use(filled, filled.wrong)
    assert before + 5 == filled.calls()

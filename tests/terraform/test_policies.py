"""What may be in no environment: asked of every resource that there would be."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from trending_cli.processes import SERVICES

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(1800)]

Houses = Mapping[str, list[Mapping[str, Any]]]
# Actions that know no resource to be restricted to, or that a plan needs to look at anything.
ANYWHERE = {
    "ecr:GetAuthorizationToken",
    "ecs:DeregisterTaskDefinition",
    "ecs:RegisterTaskDefinition",
}
LOOKING = ("Describe", "Get", "List")
NEVER_LOOKED_AT = ("secretsmanager:GetSecretValue", "s3:GetObject", "ssm:GetParameter")


def of_kind(houses: Houses, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and values of all resources of some kinds, in every run."""
    for run, resources in houses.items():
        for each in resources:
            if each["type"] in kinds:
                yield f"{run}: {each['address']}", each["values"]


def statements(houses: Houses) -> Iterator[tuple[str, dict[str, Any]]]:
    for address, values in of_kind(houses, "aws_iam_role_policy"):
        for statement in json.loads(values["policy"])["Statement"]:
            yield address, statement


def test_the_whole_house_is_there_on_ecs(houses: Houses) -> None:
    services = {values["name"] for _, values in of_kind(houses, "aws_ecs_service")}
    assert services == set(SERVICES)


def test_no_role_may_do_everything_or_anything_to_everything(houses: Houses) -> None:
    found = list(statements(houses))
    assert found
    for address, statement in found:
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            service, _, verb = action.partition(":")
            assert verb, f"{address}: {action}"
            if "*" in verb:
                assert verb.startswith(LOOKING), f"{address}: {action}"
            if "*" in statement["Resource"]:
                assert action in ANYWHERE or verb.startswith(LOOKING), f"{address}: {action} on *"
                assert action not in NEVER_LOOKED_AT, f"{address}: {action} on *"
            assert service != "iam" or verb.startswith((*LOOKING, "PassRole")), address


def test_policies_fit_into_a_role(houses: Houses) -> None:
    written: Counter[str] = Counter()
    for address, values in of_kind(houses, "aws_iam_role_policy"):
        run = address.partition(":")[0]
        written[f"{run} {values['role']}"] += len(values["policy"])
    assert max(written.values()) <= 10_240  # all that a role may be told inline


def test_who_becomes_a_role_is_said_exactly(houses: Houses) -> None:
    for address, values in of_kind(houses, "aws_iam_role"):
        for statement in json.loads(values["assume_role_policy"])["Statement"]:
            principal = statement["Principal"]
            assert set(principal) <= {"Service", "Federated"}, address
            assert "*" not in json.dumps(statement), address


def test_what_is_kept_is_encrypted(houses: Houses) -> None:
    for address, values in of_kind(houses, "aws_db_instance"):
        assert values["storage_encrypted"], address
    for address, values in of_kind(houses, "aws_ecr_repository"):
        assert values["encryption_configuration"], address
    for address, values in of_kind(houses, "aws_sns_topic"):
        assert values["kms_master_key_id"], address
    buckets = [values["bucket"] for _, values in of_kind(houses, "aws_s3_bucket")]
    encrypted = list(of_kind(houses, "aws_s3_bucket_server_side_encryption_configuration"))
    blocked = list(of_kind(houses, "aws_s3_bucket_public_access_block"))
    assert len(buckets) == len(encrypted) == len(blocked) > 0


def test_logs_are_kept_for_a_time_that_was_said(houses: Houses, environment: str) -> None:
    found = [
        values["retention_in_days"] for _, values in of_kind(houses, "aws_cloudwatch_log_group")
    ]
    assert set(found) == {14 if environment == "envs/staging" else 90}


def test_nobody_is_let_in_but_to_the_load_balancer(houses: Houses) -> None:
    for address, values in of_kind(houses, "aws_vpc_security_group_ingress_rule"):
        open_to_all = values["cidr_ipv4"] is not None or values["cidr_ipv6"] is not None
        assert not open_to_all or ".balancer[" in address, address
        if open_to_all:
            assert values["from_port"] == values["to_port"] in (80, 443), address
    for address, values in of_kind(houses, "aws_security_group"):
        assert not values.get("ingress"), address  # rules are resources of their own


def test_no_task_has_a_public_address(houses: Houses) -> None:
    private = {
        values["id"] for address, values in of_kind(houses, "aws_subnet") if ".private[" in address
    }
    for address, values in of_kind(houses, "aws_ecs_service"):
        (network,) = values["network_configuration"]
        assert network["assign_public_ip"] is False, address
        assert set(network["subnets"]) <= private, address
    for address, values in of_kind(houses, "aws_subnet"):
        assert not values["map_public_ip_on_launch"], address


def test_every_alarm_tells_somebody_and_links_to_a_runbook(houses: Houses) -> None:
    found = list(of_kind(houses, "aws_cloudwatch_metric_alarm"))
    assert len(found) > 20
    for address, values in found:
        assert values["alarm_actions"], address
        assert values["alarm_description"].endswith(".md"), address


def test_no_value_of_a_secret_passes_through(houses: Houses) -> None:
    assert not list(of_kind(houses, "aws_secretsmanager_secret_version"))
    assert "0123456789abcdef01234567" not in json.dumps(list(of_kind(houses, "aws_db_instance")))


def test_nothing_of_production_goes_by_a_slip(houses: Houses, environment: str) -> None:
    production = environment == "envs/prod"
    for address, values in of_kind(houses, "aws_db_instance"):
        assert values["deletion_protection"] is production, address
        assert values["skip_final_snapshot"] is not production, address
        assert values["multi_az"] is production, address
        assert values["backup_retention_period"] >= (14 if production else 1), address
    for address, values in of_kind(houses, "aws_lb"):
        assert values["enable_deletion_protection"] is production, address
    for address, values in of_kind(houses, "aws_s3_bucket"):
        assert values["force_destroy"] is not production, address
    for address, values in of_kind(houses, "aws_ecr_repository"):
        assert values["force_delete"] is not production, address
        assert values["image_tag_mutability"] == "IMMUTABLE", address
    for address, values in of_kind(houses, "aws_secretsmanager_secret"):
        assert (values["recovery_window_in_days"] == 30) is production, address


def test_production_has_two_gateways_and_a_way_out_of_each_zone(
    houses: Houses, environment: str
) -> None:
    production = environment == "envs/prod"
    fewest = {
        values["min_capacity"]
        for address, values in of_kind(houses, "aws_appautoscaling_target")
        if ".gateway_ecs" in address
    }
    fewest |= {
        values["min_size"]
        for _, values in of_kind(houses, "aws_apprunner_auto_scaling_configuration_version")
    }
    assert fewest == {2 if production else 1}
    for run in houses:
        one = {run: houses[run]}
        assert len(list(of_kind(one, "aws_nat_gateway"))) == (2 if production else 1)
        assert bool(list(of_kind(one, "aws_vpc_endpoint"))) is True


def test_a_push_deploys_nothing(houses: Houses) -> None:
    for address, values in of_kind(houses, "aws_apprunner_service"):
        (source,) = values["source_configuration"]
        assert source["auto_deployments_enabled"] is False, address

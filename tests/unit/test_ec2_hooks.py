"""Each private method of Dask's that is overridden is there, and is called as it is here.

`dask-cloudprovider` is pinned: a new release is taken when these tests, and those of the stand-in,
pass with it.
"""

import ast
import inspect
import textwrap

import pytest

pytestmark = pytest.mark.slow


def classes():
    from dask_cloudprovider.aws import ec2
    from dask_cloudprovider.generic import vmcluster
    from distributed.deploy import cluster, spec

    return ec2, vmcluster, cluster, spec


def source(function):
    return textwrap.dedent(inspect.getsource(function))


def calls(function):
    """Return the names of the methods that a function calls."""
    tree = ast.parse(source(function))
    found = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {each.attr for each in found if isinstance(each, ast.Attribute)}


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_start_takes_a_scheduler_that_is_there_already():
    _, vmcluster, _, spec = classes()
    assert parameters(vmcluster.VMCluster._start) == ["self"]
    assert "if self.scheduler is None" in source(spec.SpecCluster._start)
    assert "external_address" in source(spec.SpecCluster._start)
    assert {"_new_worker_name"} <= calls(vmcluster.VMCluster._start)


def test_close_of_the_base_lets_go_and_that_of_speccluster_ends():
    *_, cluster, spec = classes()
    assert parameters(spec.SpecCluster._close) == ["self"]
    assert "terminate" in calls(spec.SpecCluster._close)
    assert not {"terminate", "scale"} & calls(cluster.Cluster._close)
    assert "_close" in calls(spec.SpecCluster.__aenter__)


def test_names_of_workers_are_asked_for_and_passed_on():
    *_, spec = classes()
    assert parameters(spec.SpecCluster._new_worker_name) == ["self", "worker_number"]
    assert 'opts["name"] = name' in source(spec.SpecCluster._correct_state_internal)


def test_user_data_is_asked_of_the_cluster():
    ec2, vmcluster, *_ = classes()
    assert parameters(vmcluster.VMCluster.render_process_cloud_init) == ["self", "process"]
    assert "self.cluster.render_process_cloud_init(self)" in source(ec2.EC2Instance.create_vm)


def test_a_machine_is_configured_after_its_launch_and_gives_two_addresses():
    ec2, vmcluster, *_ = classes()
    assert parameters(ec2.EC2Instance.configure_vm) == ["self", "client"]
    assert {"configure_vm", "destroy_vm"} <= calls(ec2.EC2Instance.create_vm)
    assert "internal_ip, external_ip = await self.create_vm()" in source(
        vmcluster.SchedulerMixin.start
    )
    assert parameters(ec2.EC2Instance.destroy_vm) == ["self"]


def test_the_scheduler_is_waited_for_without_a_limit_there():
    _, vmcluster, *_ = classes()
    assert parameters(vmcluster.VMInterface.wait_for_scheduler) == ["self"]
    assert "wait_for_scheduler" in calls(vmcluster.SchedulerMixin.start)


def test_tags_hardening_and_spot_go_into_the_launch():
    ec2, *_ = classes()
    launch = source(ec2.EC2Instance.create_vm)
    for words in (
        "dict_to_aws(self.instance_tags, upper=True)",
        "dict_to_aws(self.volume_tags, upper=True)",
        '"BlockDeviceMappings"',
        '"InstanceInitiatedShutdownBehavior": "terminate"',
        "client.run_instances(**vm_kwargs)",
    ):
        assert words in launch
    assert "self.boto_session = get_session()" in source(ec2.EC2Cluster.__init__)
    assert 'self.worker_options["spot"] = self.spot' in source(ec2.EC2Cluster.__init__)


def test_ours_overrides_these_and_no_others():
    from ess_dask.cluster.ec2 import cluster as ours

    def overridden(kind):
        return {
            name
            for name in vars(kind)
            if any(name in vars(base) for base in kind.__mro__[1:-1]) and not name.startswith("__")
        }

    assert overridden(ours.EssCluster) == {
        "_start",
        "_close",
        "_new_worker_name",
        "render_process_cloud_init",
    }
    assert overridden(ours.Scheduler) == {"wait_for_scheduler", "role"}
    assert {"create_vm", "configure_vm", "destroy_vm"} <= set(vars(ours._Instance))
    assert overridden(ours.Worker) == {"role"}

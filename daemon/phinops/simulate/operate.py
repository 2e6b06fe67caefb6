"""What commands do to instances and nodes, and when they are refused (user manual, operation centre)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from phinops.simulate.model import Instance, Node, Operation, User
from phinops.simulate.refusal import Refusal
from phinops.simulate.tenant import Tenant

Check = Callable[[Tenant, Instance], Refusal | None]
Apply = Callable[[Tenant, Instance], None]


def operate(tenant: Tenant, operation: str, instance: Instance) -> None:
    """Accept one operation on one instance; it takes effect after `quirks.state_delay`.

    Raises:
        Refusal: the state of the instance does not allow it. Nothing was done.
    """
    check, apply = OPERATIONS[operation]
    refusal = check(tenant, instance)
    if refusal is not None:
        raise refusal
    if operation == "RERUN":
        tenant.reruns[instance.id] += 1
    tenant.record("OperateInstance", operation, instance.project.id, instance.id)
    tenant.later(partial(apply, tenant, instance))


def set_node_paused(tenant: Tenant, node: Node, user: User, *, paused: bool) -> None:
    """Accept the pause or the resumption of a node; its instances are generated all the same.

    Raises:
        Refusal: it is so already, or nodes of its kind cannot be paused. Nothing was done.
    """
    if node.biz_type != "SCRIPT":
        raise Refusal("DPN.Commons.InvalidParam", "only offline code and integration nodes can be paused")
    if node.paused == paused:
        if tenant.quirks.repeat_pause == "success":
            return
        state = "is paused already" if paused else "is not paused"
        raise Refusal("DPN.Commons.InvalidParam", f"the node {state}")
    api, what = ("PausePhysicalNode", "PAUSE_TASK") if paused else ("ResumePhysicalNode", "RESUME_TASK")
    tenant.record(api, what, node.project.id, node.id)
    node.operations.append(Operation(tenant.now, what, user, node.name))
    tenant.later(partial(_pause_node, tenant, node, paused))


def _pause_node(tenant: Tenant, node: Node, paused: bool) -> None:
    node.paused = paused
    for instance in node.instances:
        tenant.lives.try_start(instance)


def _can_rerun(tenant: Tenant, instance: Instance) -> Refusal | None:
    if instance.state == "RUNNING":
        return Refusal("DPN.TaskScheduler.Task.TaskRunning", "the task is running")
    if instance.state == "WAITING":
        return Refusal("DPN.TaskScheduler.Task.TaskToRerunNotFinished", "the task to rerun has not finished")
    return None


def _rerun(tenant: Tenant, instance: Instance) -> None:
    tenant.lives.start(instance, "rerun")


def _can_terminate(tenant: Tenant, instance: Instance) -> Refusal | None:
    if instance.state in ("SUCCESS", "FAILED"):
        return Refusal("DPN.TaskScheduler.Task.TaskToKillHasFinished", "the task to kill has finished")
    return None


def _terminate(tenant: Tenant, instance: Instance) -> None:
    if instance.state in ("RUNNING", "WAITING"):
        instance.auto_left = 0
        tenant.lives.settle(instance, "FAILED")


def _can_succeed(tenant: Tenant, instance: Instance) -> Refusal | None:
    if instance.state != "FAILED":
        return Refusal("DPN.Commons.InvalidParam", "only a failed instance can be set to success")
    return None


def _succeed(tenant: Tenant, instance: Instance) -> None:
    if instance.state == "FAILED":
        tenant.lives.settle(instance, "SUCCESS")
        tenant.alerts.finish(instance.id, "VDM_BATCH_ERROR")


def _can_pause(tenant: Tenant, instance: Instance) -> Refusal | None:
    if instance.paused and tenant.quirks.repeat_pause == "error":
        return Refusal("DPN.Commons.InvalidParam", "the task is paused already")
    return None


def _pause(tenant: Tenant, instance: Instance) -> None:
    instance.paused = True


def _can_resume(tenant: Tenant, instance: Instance) -> Refusal | None:
    if not instance.paused:
        return Refusal("DPN.TaskScheduler.Task.TaskToResumeNotPaused", "the task to resume is not paused")
    return None


def _resume(tenant: Tenant, instance: Instance) -> None:
    instance.paused = False
    tenant.lives.try_start(instance)


OPERATIONS: Mapping[str, tuple[Check, Apply]] = {
    "RERUN": (_can_rerun, _rerun),
    "TERMINATE": (_can_terminate, _terminate),
    "SET_SUCCESS": (_can_succeed, _succeed),
    "PAUSE": (_can_pause, _pause),
    "RESUME": (_can_resume, _resume),
}

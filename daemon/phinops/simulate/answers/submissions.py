"""Backfills, fixes, manual and triggered runs, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phinops.simulate.answers import instances, nodes
from phinops.simulate.answers.call import Answerer, Call, Payload, node_of, permitted_project, read_day
from phinops.simulate.answers.records import coarse_status, instance_record
from phinops.simulate.arguments import Arguments
from phinops.simulate.model import Dagrun, Flow, Instance, Node
from phinops.simulate.refusal import Refusal, invalid
from phinops.simulate.submit import PREPARING, backfill, days_between, fix, run_manually

_EVERYTHING = 1_000
"""Deeper than any lineage."""

_RANGES = ("ALL_FAILED_INSTANCE", "ALL_INSTANCE", "ALL_FINAL_INSTANCE")


def _create_backfill(call: Call) -> Payload:
    command = call.struct("CreateCommand")
    project = permitted_project(call, command["ProjectId"])
    roots = [node_of(call, each["Id"]) for each in command["NodeIdList"]]
    if not roots:
        raise invalid("CreateCommand.NodeIdList is empty")
    for node in roots:
        if node.project is not project:
            raise Refusal("DPN.OP.ProjectNotExist", f"node {node.id} is not of project {project.id}")
    bulk = bool(command.get("ContainAllDownStream"))
    chosen = _with_all_below(roots, command) if bulk else _with_listed(call, roots, command)
    days = days_between(
        read_day(command["StartBizDate"], "StartBizDate"), read_day(command["EndBizDate"], "EndBizDate")
    )
    flow = backfill(
        call.tenant,
        chosen,
        days,
        call.env,
        call.user,
        parallelism=command.get("Parallelism", 1),
        at_once=command.get("RunImmediately", True),
    )
    call.tenant.record(call.api, command.get("Name", ""), project.id, flow.id)
    return {"SubmitId": flow.job_id if bulk else flow.id}


def _with_all_below(roots: Sequence[Node], command: Arguments) -> list[Node]:
    found = [node for _, node in nodes.below(roots, _EVERYTHING)]
    kept = [node for node in found if all(_passes(node, each) for each in command.get("FilterList", ()))]
    return [*roots, *kept]


def _passes(node: Node, condition: Arguments) -> bool:
    names = {
        "PROJECT": (str(node.project.id), node.project.name),
        "NODE_OUTPUT_NAME": (node.output,),
        "NODE_NAME": (node.name,),
        "NODE_ID": (node.id,),
    }.get(condition.get("Key", ""))
    if names is None:
        raise invalid(f"CreateCommand.FilterList.Key «{condition.get('Key')}» is not known here")
    named = any(name in condition.get("ValueList", ()) for name in names)
    return named is not bool(condition.get("Exclude", False))


def _with_listed(call: Call, roots: Sequence[Node], command: Arguments) -> list[Node]:
    listed = [node_of(call, each["Id"]) for each in command.get("DownStreamNodeIdList", ()) if each.get("Id")]
    return list({node.id: node for node in (*roots, *listed)}.values())


def _execute_manual(call: Call) -> Payload:
    command = call.struct("ExecuteCommand")
    project = permitted_project(call, command["ProjectId"])
    node = node_of(call, command["NodeId"])
    if node.project is not project:
        raise Refusal("DPN.OP.ProjectNotExist", f"node {node.id} is not of project {project.id}")
    if node.schedule != "MANUAL":
        raise invalid(f"node {node.id} is not a manual node")
    days = days_between(
        read_day(command["StartBizDate"], "StartBizDate"), read_day(command["EndBizDate"], "EndBizDate")
    )
    flow = run_manually(call.tenant, node, days, call.env, call.user)
    call.tenant.record(call.api, command.get("FlowName", ""), project.id, node.id)
    return {"FlowId": flow.id}


def _execute_trigger(call: Call) -> Payload:
    arguments = call.arguments
    project = permitted_project(call, arguments["ProjectId"])
    node = node_of(call, arguments["NodeId"])
    if node.project is not project:
        raise Refusal("DPN.OP.ProjectNotExist", f"node {node.id} is not of project {project.id}")
    tenant = call.tenant
    biz_date = read_day(arguments["BizDate"], "BizDate")
    instance = tenant.new_instance(node, biz_date, tenant.now, created=tenant.now)
    tenant.lives.try_start(instance)
    tenant.record(call.api, "TRIGGER", project.id, node.id)
    return {}


def _fix_data(call: Call) -> Payload:
    command = call.struct("FixDataCommand")
    root = instances.instance_of(call, command["ProjectId"], command["RootInstanceId"]["Id"])
    wanted = _range(call, root, command)
    if command.get("ContainRootInstance", True):
        wanted = [root, *wanted]
    if not command.get("ForceRerun", False):
        for each in wanted:
            if each.state == "RUNNING":
                raise Refusal("DPN.TaskScheduler.Task.TaskRunning", f"task {each.id} is running")
    flow = fix(call.tenant, wanted, call.env, call.user)
    for each in wanted:
        call.tenant.record(call.api, "FIX", each.project.id, each.id)
    return {"SubmitId": flow.job_id}


def _range(call: Call, root: Instance, command: Arguments) -> list[Instance]:
    listed = command.get("DownStreamInstanceIdList")
    if listed:
        return [instances.find_instance(call, each["Id"]) for each in listed if each.get("Id")]
    wanted = command.get("DownstreamRange")
    if wanted is None:
        return []
    found = [each for _, each in instances.below(root, _EVERYTHING)]
    if wanted == "ALL_FAILED_INSTANCE":
        return [each for each in found if each.state == "FAILED"]
    if wanted == "ALL_FINAL_INSTANCE":
        return [each for each in found if each.state in ("FAILED", "SUCCESS")]
    return found


def _submit_status(call: Call) -> Payload:
    flow = call.tenant.jobs.get(call.arguments["JobId"])
    if flow is None or flow.env != call.env:
        raise Refusal("DPN.OP.FlowNotExist", f"job {call.arguments['JobId']} does not exist in {call.env}")
    done = call.tenant.now >= flow.created + PREPARING + call.tenant.quirks.state_delay
    return {
        "OperationSubmitJob": {
            "ExternalBizId": flow.id if done else "",
            "JobId": flow.job_id,
            "Operation": flow.operation,
            "OperationStatus": "SUCCESS" if done else "RUNNING",
            "Operator": flow.operator.id,
            "Progress": "100" if done else "50",
        }
    }


def _flow(call: Call, flow_id: str) -> Flow:
    flow = call.tenant.flows.get(flow_id)
    if flow is None or flow.env != call.env:
        raise Refusal("DPN.OP.FlowNotExist", f"flow {flow_id} does not exist in {call.env}")
    return flow


def _dagruns(call: Call) -> Payload:
    flow = _flow(call, call.arguments["SupplementId"])
    return {"DagrunList": [_dagrun(call, each) for each in flow.dagruns]}


def _dagrun(call: Call, dagrun: Dagrun) -> Payload:
    tenant = call.tenant
    end = dagrun.ended()
    return {
        "BizDate": dagrun.biz_date.isoformat(),
        "Duration": "" if dagrun.begun is None else f"{int((end or tenant.now) - dagrun.begun)}s",
        "EndExecuteTime": None if end is None else int(end * 1000),
        "Id": dagrun.id,
        "StartExecuteTime": None if dagrun.begun is None else int(dagrun.begun * 1000),
        "Status": dagrun.state(tenant.now),
        "SupplementId": dagrun.flow_id,
    }


def _dagrun_instances(call: Call) -> Payload:
    wanted = call.arguments["DagrunId"]
    for flow in call.tenant.flows.values():
        for dagrun in flow.dagruns:
            if dagrun.id == wanted and flow.env == call.env:
                return {"InstanceList": [_dagrun_instance(call, each) for each in dagrun.instances]}
    raise Refusal("DPN.OP.FlowNotExist", f"dagrun {wanted} does not exist in {call.env}")


def _dagrun_instance(call: Call, instance: Instance) -> Payload:
    status = coarse_status(instance, call.tenant.now)
    row = instance_record(call.tenant, instance)
    return {**row, "StatusList": ["NIT" if status == "INIT" else status], "Type": instance.kind}


SUBMISSIONS: Mapping[str, Answerer] = {
    "CreateNodeSupplement": _create_backfill,
    "ExecuteManualNode": _execute_manual,
    "ExecuteTriggerNode": _execute_trigger,
    "FixData": _fix_data,
    "GetOperationSubmitStatus": _submit_status,
    "GetSupplementDagrun": _dagruns,
    "GetSupplementDagrunInstance": _dagrun_instances,
}

"""A Dataphin tenant to try, test and teach with. It shares no code with the client, so that mistakes show.

::

    async with serve("default", clock=SystemClock()) as simulator:
        ...                                  # simulator.url, .op_tenant_id, .access_key_id, .access_key_secret
        simulator.tenant.fail_instance("dws_trade_order_1d", fails=2)
        simulator.faults.add(Fault("reset_after", api="OperateInstance", count=3))
"""

from __future__ import annotations

from phinops.simulate.faults import Fault
from phinops.simulate.scenario import Scenario
from phinops.simulate.scenariofile import load_scenario, scenario_names
from phinops.simulate.server import Arrival, Simulator, make_simulator, serve

__all__ = [
    "Arrival",
    "Fault",
    "Scenario",
    "Simulator",
    "load_scenario",
    "make_simulator",
    "scenario_names",
    "serve",
]

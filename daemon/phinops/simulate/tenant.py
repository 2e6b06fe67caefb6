"""A simulated tenant: everything that calls read and change, and what tests look at."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from random import Random
from zoneinfo import ZoneInfo

from phinops.clock import Clock
from phinops.simulate.alerts import AlertBook, Cause
from phinops.simulate.calendar import Calendar
from phinops.simulate.lives import Agenda, Lives
from phinops.simulate.model import (
    Alert,
    AlertRule,
    Effect,
    Flow,
    Instance,
    Kind,
    Node,
    Project,
    User,
)
from phinops.simulate.quirks import Quirks
from phinops.simulate.traffic import DataService, ServedApi, Trouble

# Numbers of nodes and instances have 19 digits, as on real installations: more than a double can hold.
_SERIAL = 6_340_130_000_000_000_000


class Tenant:
    """One tenant on one clock.

    Whoever looks calls `settle` first (the accessors for tests do it themselves), so that all is as it is now.

    Attributes:
        reruns: how many RERUNs of each instance were accepted, by instance id.
        effects: everything that calls did, oldest first.
        sweeps: how often each list was read from its first page on.
    """

    def __init__(self, tenant_id: int, name: str, zone: ZoneInfo, clock: Clock, seed: int) -> None:
        self.id = tenant_id
        self.name = name
        self.clock = clock
        self.calendar = Calendar(zone)
        self.quirks = Quirks()
        self.started = clock.now().timestamp()
        self.projects: dict[int, Project] = {}
        self.nodes: dict[str, Node] = {}
        self.instances: dict[str, Instance] = {}
        self.services: dict[int, DataService] = {}
        self.flows: dict[str, Flow] = {}
        self.jobs: dict[str, Flow] = {}
        self.users: dict[str, User] = {}
        self.reruns: Counter[str] = Counter()
        self.effects: list[Effect] = []
        self.sweeps: Counter[str] = Counter()
        self.groups: dict[str, list[Node]] = {}
        random = Random(seed)
        self.random = random
        self._node_serials = itertools.count(_SERIAL + random.randrange(10**9) * 1000, 7)
        self._instance_serials = itertools.count(_SERIAL + random.randrange(10**9) * 1000, 11)
        self._user_serials = itertools.count(300_000_000 + random.randrange(10**6))
        self._flow_serials = itertools.count(random.randrange(10**9) * 1000)
        self._indexes: Counter[tuple[str, date]] = Counter()
        self.agenda = Agenda()
        self.lives = Lives(self.agenda, self.quirks)
        self.alerts = AlertBook(self.agenda, 10_000 + random.randrange(10**4))
        self.lives.listeners.append(self.alerts.on_end)

    @property
    def now(self) -> float:
        """The time that everything was last settled for."""
        return self.agenda.now

    def settle(self) -> float:
        """Let everything happen that is due, and give the time it is."""
        self.agenda.advance(self.clock.now().timestamp())
        return self.agenda.now

    def user(self, name: str) -> User:
        """The user of that name, who joins with the first mention."""
        if name not in self.users:
            self.users[name] = User(str(next(self._user_serials)), name)
        return self.users[name]

    def node_serial(self) -> int:
        """A number that no node has had before."""
        return next(self._node_serials)

    def flow_serial(self) -> int:
        """A number that no flow has had before."""
        return next(self._flow_serials)

    def new_instance(
        self, node: Node, biz_date: date, due: float, *, kind: Kind = "NORMAL", flow_id: str = "", created: float
    ) -> Instance:
        """One more instance of `node`; nothing makes it run yet (`lives.expect`)."""
        self._indexes[node.id, biz_date] += 1
        index = self._indexes[node.id, biz_date]
        instance_id = f"t_{node.serial}_{biz_date:%Y%m%d}_{next(self._instance_serials)}"
        instance = Instance(
            instance_id, node, biz_date, index, due, created, len(node.project.instances), kind, flow_id
        )
        self.instances[instance.id] = instance
        node.instances.append(instance)
        node.project.instances.append(instance)
        return instance

    def later(self, what: Callable[[], None]) -> None:
        """Let `what`, the effect of a command that was accepted, happen as late as `quirks.state_delay` says."""
        if self.quirks.state_delay > 0:
            self.agenda.at(self.now + self.quirks.state_delay, what)
        else:
            what()

    def record(self, api: str, operation: str, project_id: int, target: str) -> None:
        """Note that a call did something."""
        self.effects.append(Effect(self.now, api, operation, project_id, target))

    # What follows is for tests and demonstrations.

    def project(self, name: str) -> Project:
        """The project of that name. Raises KeyError."""
        found = next((each for each in self.projects.values() if each.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def node(self, id_or_name: str) -> Node:
        """The node of that id or name, as it is now. Raises KeyError."""
        self.settle()
        if id_or_name in self.nodes:
            return self.nodes[id_or_name]
        return self.groups[id_or_name][0]

    def instance(self, instance_id: str) -> Instance:
        """The instance of that id, as it is now. Raises KeyError."""
        self.settle()
        return self.instances[instance_id]

    def status(self, instance_id: str) -> str:
        """The documented status of that instance now. Raises KeyError."""
        instance = self.instance(instance_id)
        return instance.status(self.now)

    def failed(self) -> list[Instance]:
        """All instances that are FAILED now, oldest first."""
        self.settle()
        return [each for each in self.instances.values() if each.state == "FAILED"]

    def paused_nodes(self) -> list[Node]:
        """All nodes that are paused now."""
        self.settle()
        return [each for each in self.nodes.values() if each.paused]

    def fail_instance(
        self, node: str, *, fails: int = 1, takes: float = 3.0, log: str = "", ago: float = 0.0
    ) -> Instance:
        """A new instance of `node` (id or name) whose first run failed `ago` seconds ago.

        `fails` runs fail in all (-1: every one), the next ones succeed; each takes `takes` seconds. Raises KeyError.
        """
        end = self.settle() - ago
        instance = self.add_instance(node, due=end - takes)
        instance.fails, instance.takes, instance.failure_log = fails, takes, log
        self.lives.ran(instance, end - takes, end)
        return instance

    def add_instance(self, node: str, *, due: float | None = None) -> Instance:
        """A new instance of `node` that waits, due at `due` (now). Nothing makes it run: see `lives.expect`."""
        found = self.node(node)
        at = self.now if due is None else due
        return self.new_instance(found, self.calendar.biz_date(at), at, created=at)

    def add_alert(self, cause: Cause, rule: AlertRule | None = None) -> Alert:
        """Raise an alert now; one that is open for the same cause counts once more."""
        self.settle()
        return self.alerts.raise_(cause, rule or AlertRule())

    def fail_api(self, api: str, *, rate: float = 1.0, seconds: float = 600.0, app: str = "") -> None:
        """From now on calls of the API of that name fail, for `seconds` seconds. Raises KeyError."""
        now = self.settle()
        for stream in self.find_api(api)[1].streams:
            if app in ("", stream.app.name):
                stream.add(Trouble(now, now + seconds, rate))

    def find_api(self, name: str) -> tuple[DataService, ServedApi]:
        """The data service API of that name, or of `service/name`. Raises KeyError."""
        for service, api in self.served_apis():
            if name in (api.name, f"{service.name}/{api.name}"):
                return service, api
        raise KeyError(name)

    def served_apis(self) -> Iterator[tuple[DataService, ServedApi]]:
        """Every API of every data service project."""
        return ((service, api) for service in self.services.values() for api in service.apis)

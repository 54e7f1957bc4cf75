"""Keep a registry of the clients that are connected to the simulated server."""

from dtc_twisted.simulator.connection import MainConnection, SimulatorConnection


class ClientRegistry:
    """Hold the open connections of both ports, oldest first."""

    def __init__(self) -> None:
        self.main: list[SimulatorConnection] = []
        self.historical: list[SimulatorConnection] = []

    def add(self, connection: SimulatorConnection) -> None:
        """Add a connection that has opened."""
        (self.main if isinstance(connection, MainConnection) else self.historical).append(connection)

    def remove(self, connection: SimulatorConnection) -> None:
        """Remove a connection that is lost."""
        for connections in (self.main, self.historical):
            if connection in connections:
                connections.remove(connection)

    def all(self) -> list[SimulatorConnection]:
        """Return the connections of both ports."""
        return [*self.main, *self.historical]

    def subscribers(self) -> list[MainConnection]:
        """Return the connections of the main port."""
        return [each for each in self.main if isinstance(each, MainConnection)]

    def logged_on(self) -> list[MainConnection]:
        """Return the connections of the main port that are logged on."""
        return [each for each in self.subscribers() if each.logged_on]

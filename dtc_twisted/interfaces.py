"""Define interfaces of objects that callers provide."""

from twisted.internet.interfaces import IReactorCore, IReactorPluggableNameResolver, IReactorTCP, IReactorTime


class IGatewayReactor(IReactorTime, IReactorTCP, IReactorCore, IReactorPluggableNameResolver):
    """A reactor with timers, TCP and name resolution. Twisted's reactors provide it."""

"""Names the services and the reactor for twistd."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

dtc = ServiceMaker("dtc", "dtc_twisted.tap", "A gateway from Sierra Chart's DTC server to REST and WebSocket.", "dtc")
dtc_edge = ServiceMaker("dtc-edge", "dtc_twisted.tap_edge", "Serves a gateway's data on another machine.", "dtc-edge")
dtc_sim = ServiceMaker("dtc-sim", "dtc_twisted.tap_sim", "A simulated DTC server.", "dtc-sim")
dtc_uvloop = Reactor("uvloop", "dtc_twisted.uvloop_reactor", "asyncio, with the event loop of uvloop.")

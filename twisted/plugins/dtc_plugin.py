"""Names the services for twistd."""

from twisted.application.service import ServiceMaker

dtc = ServiceMaker("dtc", "dtc_twisted.tap", "A gateway from Sierra Chart's DTC server to REST and WebSocket.", "dtc")
dtc_edge = ServiceMaker("dtc-edge", "dtc_twisted.tap_edge", "Serves a gateway's data on another machine.", "dtc-edge")
dtc_sim = ServiceMaker("dtc-sim", "dtc_twisted.tap_sim", "A simulated DTC server.", "dtc-sim")

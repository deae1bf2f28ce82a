"""Between a socket and a door: connections, routing, keys, faults at the edge, the shapes of the wire."""

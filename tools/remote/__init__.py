"""Object stores: a server, a proxy that makes faults, and what loading from them costs."""

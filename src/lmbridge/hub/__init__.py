"""THE MEETING POINT: leases, routing, residency, keys, activity. Knows providers by their protocol only."""

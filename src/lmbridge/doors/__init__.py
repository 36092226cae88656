"""WHO COMES IN: each door answers callers in its own protocol and is handed a hub to do the work."""

"""THIS COMPUTER: child processes, memory, model files, ports, and the file that names a running gateway."""

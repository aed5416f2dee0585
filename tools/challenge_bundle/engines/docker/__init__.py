"""Docker Engine: images, containers, and the watchdog that enforces their limits."""

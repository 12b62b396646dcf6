"""An example plugin: a worker that labels every request, its setting, and a verb."""

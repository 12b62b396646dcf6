"""Settings: declarations (``declare``), kinds of values (``values``), this server's own (``groups``)."""

from server_core.settings.config import Settings
from server_core.settings.declare import Catalogue, Computed, Group, Setting

__all__ = ["Catalogue", "Computed", "Group", "Setting", "Settings"]

"""The settings of the example plugin.

Imports nothing but ``server_core.settings``, because it is imported to parse the command line.
"""

from __future__ import annotations

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Text

GROUPS = (
    Group("Label", [Setting("label", Text(), "plain", "What the labelled worker puts into environ['example.label'].")]),
)

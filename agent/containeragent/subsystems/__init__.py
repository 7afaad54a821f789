# SPDX-License-Identifier: Apache-2.0
"""Subsystems: code that has its say when containers are made, removed and given tasks, and adds attributes to them.

What a third-party subsystem imports is here; docs/subsystems.md says how to write one.
"""

from containeragent.errors import Refused
from containeragent.subsystems.api import Attribute, Container, Subsystem, Task, Value

__all__ = ["Attribute", "Container", "Refused", "Subsystem", "Task", "Value"]

# SPDX-License-Identifier: Apache-2.0
"""Per-container resource accounting on Linux: the agent. See DESIGN in README.md for which way data flows."""

__version__ = "0.1.0"

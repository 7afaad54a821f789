# SPDX-License-Identifier: Apache-2.0
"""The command-line tool: command lines come in, requests to the agent's API and readable answers go out."""

__version__ = "0.1.0"

# SPDX-License-Identifier: Apache-2.0
"""The command-line tool: command lines come in, requests to the agent's API go out, and answers are shown to people or scripts."""

__version__ = "0.1.0"

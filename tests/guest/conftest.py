# SPDX-License-Identifier: Apache-2.0
"""Tests that take the whole machine: only where it is a guest of tests/vm, which says so in the environment."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("CONTAINERAGENT_GUEST") else ["test_*"]

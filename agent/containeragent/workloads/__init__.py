# SPDX-License-Identifier: Apache-2.0
"""Whose a cgroup is, among those that systemd and container runtimes make."""

# SPDX-License-Identifier: Apache-2.0
"""Measurements of what counting costs and how fast it is read: `python -m bench`, as root."""

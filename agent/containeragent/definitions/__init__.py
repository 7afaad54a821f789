# SPDX-License-Identifier: Apache-2.0
"""Containers that files define: read, applied to the tree, and written from it."""

# SPDX-License-Identifier: Apache-2.0
"""What keeps the bench from running at all."""


class Unusable(Exception):
    """One line: what is wrong and what to do."""

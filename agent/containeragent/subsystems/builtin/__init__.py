# SPDX-License-Identifier: Apache-2.0
"""Our own subsystems, through the interface that others use too."""

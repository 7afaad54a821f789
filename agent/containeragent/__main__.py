# SPDX-License-Identifier: Apache-2.0
"""python -m containeragent."""

from containeragent.main import main

main()

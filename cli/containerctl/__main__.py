# SPDX-License-Identifier: Apache-2.0
"""`python -m containerctl`: the same as the installed command."""

from containerctl.main import main

main()

# SPDX-License-Identifier: Apache-2.0
"""The live view: the agent's answers and keys come in, lines and at last a restored terminal go out."""

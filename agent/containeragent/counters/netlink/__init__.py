# SPDX-License-Identifier: Apache-2.0
"""Engine `netlink`, for hosts that refuse BPF: task events of the process connector, and the cgroups' own files."""

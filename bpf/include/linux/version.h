/* SPDX-License-Identifier: GPL-2.0-only */
/* No decision is taken by version; bcc only wants the words to exist. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 15, 0)

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CONTAINERAGENT_KCONFIG_H
#define CONTAINERAGENT_KCONFIG_H
#define CONFIG_BPF_SYSCALL 1
#endif

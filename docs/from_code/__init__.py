# SPDX-License-Identifier: Apache-2.0
"""Parts of the reference, as Markdown, made from the code when the pages are built: nothing here can grow old."""

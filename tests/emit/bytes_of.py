"""Generate ops, given as files, and print a hash of what `derive generate` would write of them.

A script, so that it runs under another Python, another locale, another seed.
"""

from __future__ import annotations

import hashlib
import locale
import sys
from contextlib import suppress

from derive.catalogue import load_all
from derive.emit.backends import BACKENDS
from derive.emit.files import generate

with suppress(locale.Error):  # one that this machine does not have
    locale.setlocale(locale.LC_ALL, "")
if "--version" in sys.argv[1]:
    import derive

    derive.__version__ = "99.0"
ops = [op for path in sys.argv[2:] for op in load_all(path)]
texts = generate(ops, tuple(BACKENDS.values()))
for path, text in texts.items():
    sys.stdout.write(f"{path} {hashlib.sha256(text.encode()).hexdigest()}\n")

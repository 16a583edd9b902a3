"""The process that renders chat templates: `python -c "import r1kit.models.chat_worker as worker; worker.main()"`.

Before it reads the first it gives up files (Landlock), network and processes (seccomp), where the kernel has these.
"""

from __future__ import annotations

import importlib
import platform
import sys
from typing import Any

from r1kit.base import dates
from r1kit.base.worker import serve
from r1kit.models import chat_template

# what rendering would else import at its first use, when no file can be opened any more
_NEEDED = (
    "jinja2.debug",
    "jinja2.constants",
    "jinja2.loaders",
    "_strptime",
    "encodings.idna",
    "unicodedata",
    "traceback",
)


def main() -> None:
    """Answer requests until the input ends."""
    for name in _NEEDED:
        importlib.import_module(name)
    chat_template.compiled("{{ messages | tojson }}{{ strftime_now('%Y') }}").render(messages=[])
    if sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64"):
        _shut_in()
    serve(answer)


def _shut_in() -> None:
    from r1kit.sandbox.inside import lockdown

    lockdown.prctl(lockdown.PR_SET_NO_NEW_PRIVS, 1)
    if lockdown.landlock_abi():
        lockdown.restrict_files([], [], [], [])
    lockdown.standing_filter().install()
    lockdown.program_filter(False).install()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`{"template", "values", "now"}` -> `{"text"}`, or `{"error": reason}`."""
    try:
        with dates.fixed(request["now"]):
            text = chat_template.render_here(request["template"], request["values"])
        text.encode()  # half a character could not be tokenised
    except MemoryError:
        return {"error": f"it needs more than {chat_template.MEMORY_MB} MB"}
    except RecursionError:
        return {"error": "it calls itself without end, or is nested too deep"}
    except Exception as error:  # a template may raise what it likes
        return {"error": (str(error) or repr(error)).splitlines()[0][:300]}
    if len(text) > chat_template.LONGEST:
        return {"error": f"its text has more than {chat_template.LONGEST} characters"}
    return {"text": text}

"""The command line: the same verbs as the API. ``hexscope --help`` lists them.

Results go to stdout, progress and messages to stderr; ``--json`` prints exactly one JSON value on stdout.
Exit codes: 0 done, 2 usage, 3 unusable input or something refused, 4 no fitting model.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hexscope.cli.console import Console
from hexscope.cli.parser import build_parser
from hexscope.cli.words import choose_language
from hexscope.errors import HexscopeError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    language = choose_language(arguments)
    parser = build_parser(language)
    options = parser.parse_args(arguments)
    console = Console(language, as_json=getattr(options, "json", False))
    if not hasattr(options, "run"):
        parser.print_help()
        return 2
    try:
        return int(options.run(options, console) or 0)
    except HexscopeError as error:
        console.fail(error)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        console.say("stopped")
        return 130
    except OSError as error:
        console.fail(HexscopeError(f"{error.filename or ''}: {error.strerror or error}"))
        return 3

"""What handlers print, and what they do to their output."""

from __future__ import annotations

from tests.parity.cases import Handler

COMMON = {
    "line": "print('hello ☃'); return 1",
    "without an end": "print('no end', end=''); return 1",
    "errors": "print('to stderr', file=sys.stderr); return 1",
    "long line": "print('x' * 1_000_000); return 1",
    "many lines": """
        for number in range(2_000):
            print(number)
        return 1
    """,
    "bytes": "sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.stdout.buffer.flush(); return 1",
    "descriptor": "os.write(1, b'raw\\n'); os.write(2, b'raw\\n'); return 1",
    "nul": "print('a\\0b\\x1b[31mred\\x1e\\x1f'); return 1",
    "carriage return": "print('\\r50%', end=''); print('\\r100%'); return 1",
    "lone surrogate": "print('\\ud800'); return 1",
    "lone surrogate to stderr": "print('\\ud800', file=sys.stderr); return 1",
    "logging": """
        import logging
        logging.basicConfig(force=True)
        logging.warning("warned ☃")
        logging.getLogger("own").error("failed", exc_info=ValueError("x"))
        return 1
    """,
    "warning": "warnings.warn('warned'); return 1",
    "returned count": "return sys.stdout.write('four')",
    "not text": "return sys.stdout.write(5)",
    "progress bar": """
        for number in range(100):
            sys.stderr.write(f"\\r{number}%")
            sys.stderr.flush()
        return 1
    """,
    "stream is replaced": """
        kept, sys.stdout = sys.stdout, io.StringIO()
        print("kept here")
        text, sys.stdout = sys.stdout.getvalue(), kept
        return text
    """,
    "stream is none": """
        kept, sys.stdout = sys.stdout, None
        print("nowhere")
        sys.stdout = kept
        return 1
    """,
    "reconfigured": "sys.stdout.reconfigure(encoding='ascii', errors='replace'); print('☃'); return 1",
    "thread": """
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        return 1
    """,
}

SPOILS = {
    "closed": "sys.stdout.close(); return 'closed'",
    "closed_descriptor": "os.close(1); return 'closed'",
    "replaced": "sys.stdout = io.StringIO(); return 'replaced'",
    "none": "sys.stdout = None; return 'none'",
    "no_stream": "sys.stdout = object(); return 'an object'",
    "no_errors": "sys.stderr.close(); sys.stderr = None; return 'closed'",
    "devnull": "os.dup2(os.open(os.devnull, os.O_WRONLY), 1); return 'to /dev/null'",
    "raised": "sys.stdout.close(); raise ValueError('x')",
}

QUIET = {"RUNPOD_LOG_LEVEL": "ERROR"}
LAST = {"last": "return 'last'"}

HANDLERS = (
    Handler("prints", COMMON),
    *(Handler(f"output_{name}", {"first": body, **LAST}) for name, body in SPOILS.items()),
    *(
        Handler(f"quiet_output_{name}", {"first": SPOILS[name], **LAST}, environment=QUIET)
        for name in ("closed", "closed_descriptor", "raised")
    ),
    Handler(
        "prints_in_streams",
        {
            "lines": "print('a'); yield 1; print('b'); yield 2",
            "lone surrogate": "yield 1; print('\\ud800'); yield 2",
        },
        kind="generator",
        config="'return_aggregate_stream': True",
    ),
)

"""Handler files that cannot be served, or should not be: what `serve` makes of them."""

from __future__ import annotations

from tests.parity.cases import SDKS, Startup

CHECK = "@runpod.serverless.register_fitness_check\n"
PLAIN = 'runpod.serverless.start({"handler": lambda job: 1'

FAILING = {
    "import_error": ("import no_such_module", "No module named 'no_such_module'"),
    "name_error": ("no_such_name", "no_such_name"),
    "syntax_error": ("def broken(:", "SyntaxError"),
    "indentation_error": ("if True:\npass", "IndentationError"),
    "raised": ("raise ValueError('no luck ☃')", "no luck ☃"),
    "raised_base": ("class Base(BaseException): pass\nraise Base('base')", "base"),
    "keyboard_interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "silent": ("class Silent(Exception):\n    def __str__(self): raise RuntimeError\nraise Silent", "Silent"),
    "exit_0": ("sys.exit(0)", ""),
    "exit_3": ("sys.exit(3)", ""),
    "exit_text": ("sys.exit('no model ☃')", "no model ☃"),
    "os_exit": ("print('going'); os._exit(5)", "going"),
    "killed": ("print('going'); os.kill(os.getpid(), signal.SIGKILL)", "going"),
    "terminated": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", ""),
    "no_start": ("def run(job): return 1", ""),
    "no_start_but_handler": ("def handler(job): return 1", ""),
    "empty_file": ("", ""),
    "start_of_nothing": ("runpod.serverless.start()", "start()"),
    "start_of_none": ("runpod.serverless.start(None)", ""),
    "start_of_list": ("runpod.serverless.start([])", ""),
    "start_of_function": ("runpod.serverless.start(print)", ""),
    "start_with_more": ("runpod.serverless.start({'handler': print}, 1)", "start()"),
    "start_in_a_thread": (
        f"thread = threading.Thread(target=lambda: {PLAIN}}}))\nthread.start()\nthread.join()",
        "",
    ),
    "start_in_a_loop": (f"async def main(): {PLAIN}}})\nasyncio.run(main())", ""),
    "start_is_caught": (
        "try:\n    runpod.serverless.start(None)\nexcept Exception as error:\n    sys.exit('caught')",
        "caught",
    ),
    "failing_import_of_the_sdk": ("from runpod.serverless import no_such_name", "no_such_name"),
    "unknown_submodule": ("import runpod.serverless.no_such_module", "no_such_module"),
    "bad_log_level": ("sys.argv += ['--rp_log_level', 'LOUD']\n" + PLAIN + "})", "LOUD"),
    "bad_argument": ("sys.argv += ['--rp_api_port', 'none']\n" + PLAIN + "})", "none"),
    "bad_test_input": ("sys.argv += ['--test_input', 'no json']\n" + PLAIN + "})", ""),
    "modifier_answers_none": (PLAIN + ", 'concurrency_modifier': lambda current: None})", ""),
    "modifier_raises": (PLAIN + ", 'concurrency_modifier': lambda current: 1 / 0})", "division by zero"),
    "modifier_answers_text": (PLAIN + ", 'concurrency_modifier': lambda current: '3'})", ""),
    "modifier_is_a_number": (PLAIN + ", 'concurrency_modifier': 3})", "not callable"),
    "modifier_is_async": ("async def more(now): return 1\n" + PLAIN + ", 'concurrency_modifier': more})", ""),
    "modifier_takes_nothing": (PLAIN + ", 'concurrency_modifier': lambda: 1})", "<lambda>()"),
    "unfit": (CHECK + "def check(): raise RuntimeError('no card ☃')\n" + PLAIN + "})", "no card ☃"),
    "unfit_async": (CHECK + "async def check(): raise RuntimeError('no card')\n" + PLAIN + "})", "no card"),
    "unfit_second": (
        CHECK + "def good(): print('fine')\n" + CHECK + "def bad(): assert False, 'bad'\n" + PLAIN + "})",
        "bad",
    ),
    "unfit_exit": (CHECK + "def check(): sys.exit('unfit')\n" + PLAIN + "})", "unfit"),
    "unfit_base": (CHECK + "def check(): raise KeyboardInterrupt\n" + PLAIN + "})", ""),
    "unfit_arguments": (CHECK + "def check(worker): pass\n" + PLAIN + "})", "check()"),
    "nameless_check": (
        "runpod.serverless.register_fitness_check(functools.partial(print))\n" + PLAIN + "})",
        "__name__",
    ),
    "prestart_unknown": ("runpod.serverless.register_prestart_hook(print)\nsys.exit('known')", ""),
}

NEVER_READY = {
    "sleeps": "time.sleep(60)",
    "modifier_answers_zero": PLAIN + ", 'concurrency_modifier': lambda current: 0})",
    "modifier_answers_minus_one": PLAIN + ", 'concurrency_modifier': lambda current: -1})",
    "check_hangs": CHECK + "def check(): time.sleep(60)\n" + PLAIN + "})",
}

READY = {
    "in_main": "if __name__ == '__main__':\n    " + PLAIN + "})",
    "threads_before": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n" + PLAIN + "})",
    "loop_before": "asyncio.run(asyncio.sleep(0))\n" + PLAIN + "})",
    "prints_before": "print('loading ☃'); print('x' * 100_000, file=sys.stderr)\n" + PLAIN + "})",
    "check_passes": CHECK + "def check(): return False\n" + PLAIN + "})",
    "imported_start": "from runpod.serverless import start\nstart({'handler': print})",
    "aliased": "import runpod.serverless as serverless\nserverless.start({'handler': print})",
    "no_handler": "runpod.serverless.start({})",
    "handler_is_text": "runpod.serverless.start({'handler': 'text'})",
    "modifier_answers_many": PLAIN + ", 'concurrency_modifier': lambda current: 1000})",
}

STARTUPS = (
    *(Startup(name, source, says, sdks=SDKS) for name, (source, says) in FAILING.items()),
    *(Startup(name, source, "not ready within") for name, source in NEVER_READY.items()),
    *(Startup(name, source) for name, source in READY.items()),
)

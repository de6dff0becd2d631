"""Runs checks: what the programs in this folder have in common that say which checks there are and count them."""
import sys, time


def run(checks, *arguments, ends=lambda: None):
    """Runs the checks that the command line names from its third argument on, or all; exits with 0 when all passed.

    `arguments` are every check's; `ends` is called behind the last one."""
    wanted = [c for c in checks if not sys.argv[3:] or c.__name__ in sys.argv[3:]]
    passed = 0
    for function in wanted:
        start = time.time()
        try:
            function(*arguments); passed += 1
            print(f"ok      {function.__name__}  {time.time() - start:.1f} s", flush=True)
        except Exception as error:
            print(f"FAILED  {function.__name__}: {type(error).__name__}: {str(error)[:3000]}", flush=True)
    ends()
    print(f"{passed} passed, {len(wanted) - passed} failed")
    sys.exit(passed != len(wanted))

"""What scripts/check-monitoring does."""
import concurrent.futures as futures
import json, math, os, re, shutil, socket, subprocess, sys, tempfile, time
import urllib.error, urllib.parse, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MONITORING = os.path.join(ROOT, "deploy/monitoring")
MARTLET, MODEL = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ADMIN, CALLER = "admin-key-of-the-check", "caller-key-of-the-check"
# Expressions that have no value on this machine, by their metric.
SILENT = {
    "martlet_adapter_fetch_seconds_bucket": "no source is remote",
    "martlet_device_pages": "there is no GPU",
    "martlet_adapter_upload_bytes_total": "there is no GPU",
}
# Metrics that Prometheus makes itself.
PROMETHEUS_OWN = {"up", "scrape_duration_seconds"}
WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "bool", "offset", "group_left", "group_right"}


class Wrong(Exception): pass


def read(path):
    with open(path) as file: return file.read()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode: raise Wrong(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def names(expr):
    """The metrics that an expression asks for: what is neither text, label, duration, function nor keyword."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring)\s*\([^)]*\)', " ", re.sub(r'"[^"]*"', '""', expr))
    return {name for name in re.findall(r"(?<![\w.:])[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)} - WORDS


def known(name):
    help_texts = set(re.findall(r'"([a-z_:]+)":', read(os.path.join(ROOT, "Sources/Telemetry/MetricHelp.swift"))))
    return name in PROMETHEUS_OWN | help_texts or re.sub("_(bucket|sum|count)$", "", name) in help_texts


def board_expressions():
    board = json.loads(read(f"{MONITORING}/martlet.json"))
    panels = [inner for panel in board["panels"] for inner in [panel, *panel.get("panels", [])] if inner["type"] != "row"]
    found = {}
    for panel in panels:
        if not panel["description"]: raise Wrong(f"{panel['title']} has no description")
        for target in panel["targets"]: found[f"{panel['id']} {panel['title']} {target['refId']}"] = target["expr"]
    for variable in board["templating"]["list"]:
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if asked: found[f"${variable['name']}"] = f"count by ({asked[2]}) ({asked[1]})"
    return found


def filled_in(expr):
    """As Grafana fills in its variables."""
    return expr.replace("$__rate_interval", "2m").replace("$instance", ".*").replace("$model", ".*")


def check_files():
    """What needs no server. Returns the alerts."""
    run(sys.executable, "scripts/make_board.py", "--check")
    run("promtool", "check", "rules", f"{MONITORING}/alerts.yaml")
    run("promtool", "test", "rules", f"{MONITORING}/alerts-test.yaml")
    rules, tests, document = read(f"{MONITORING}/alerts.yaml"), read(f"{MONITORING}/alerts-test.yaml"), read(f"{ROOT}/docs/operating/monitoring.md")
    alerts = re.findall(r"- alert: (\w+)", rules)
    for alert in alerts:
        case = re.search(rf"- name: {alert}\n(.*?)(?=\n- name:|\Z)", tests, re.S)
        if not case or "exp_samples: []" not in case[1] or f'alertname="{alert}"' not in case[1]: raise Wrong(f"alerts-test.yaml does not show {alert} both quiet and firing")
        if f"monitoring.md#{alert.lower()}\n" not in rules or f"### {alert}\n" not in document: raise Wrong(f"{alert} has no section in docs/operating/monitoring.md that it names")
    return alerts


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(url, body=None, key=None, timeout=120):
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, {"Content-Type": "application/json"})
    if key: request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer: return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error: return error.code, error.read().decode()


def wait_for(what, condition):
    for _ in range(600):
        try:
            if condition(): return
        except OSError: pass
        time.sleep(0.1)
    raise Wrong(f"{what} did not happen within a minute")


def start_server(folder, port):
    """With two adapters of which only one fits the memory, and a cache and a queue that fill up soon."""
    for name in ("pirate", "headline"): shutil.copytree(f"{ROOT}/Examples/adapters/{name}", f"{folder}/adapters/{name}")
    with open(f"{folder}/keys", "w") as file: file.write(f"admin: {ADMIN}\napp: {CALLER}\n")
    command = [MARTLET, "serve", "--model", MODEL, "--served-model-name", "base", "--adapters", f"{folder}/adapters", "--port", str(port),
               "--api-key-file", f"{folder}/keys", "--tenants", f"{folder}/tenants.db", "--disk-cache", f"{folder}/cache",
               "--host-memory", "2MiB", "--kv-memory", "12MiB", "--max-sequences", "4", "--max-waiting", "2"]
    with open(f"{folder}/server.log", "w") as log: return subprocess.Popen(command, stdout=log, stderr=log)


def start_prometheus(folder, port, server_port, key):
    """With the shipped configuration: only the address, the key's file and the pace are others."""
    shutil.copy(f"{MONITORING}/alerts.yaml", folder)
    text = read(f"{MONITORING}/prometheus.yml")
    for shipped, here in (("localhost:8080", f"127.0.0.1:{server_port}"), ("/etc/prometheus/martlet.key", f"{folder}/observer.key"), ("15s", "1s")):
        if shipped not in text: raise Wrong(f"prometheus.yml no longer says {shipped}")
        text = text.replace(shipped, here)
    with open(f"{folder}/observer.key", "w") as file: file.write(key)
    with open(f"{folder}/prometheus.yml", "w") as file: file.write(text)
    run("promtool", "check", "config", f"{folder}/prometheus.yml")
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with open(f"{folder}/prometheus.log", "w") as log: return subprocess.Popen(command, stdout=log, stderr=log)


def drive(server):
    """Requests of every kind that the board tells apart. Returns how many got which status."""
    def complete(model, tokens=8, key=CALLER):
        return ask(f"{server}/v1/completions", {"model": model, "prompt": "Rain is water, and rain is", "max_tokens": tokens, "ignore_eos": True}, key)[0]
    statuses = [complete(model) for model in ("base", "pirate", "headline") * 3]
    statuses += [complete("nobody"), complete("base", tokens=-1), complete("base", key="no-such-key")]
    # Together they want more than the cache and the queue hold.
    with futures.ThreadPoolExecutor(9) as pool: statuses += pool.map(lambda _: complete("base", tokens=200), range(9))
    statuses += [complete(model) for model in ("pirate", "headline") * 2]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


def query(prometheus, expr):
    status, text = ask(f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expr}))
    answer = json.loads(text)
    if answer["status"] != "success": raise Wrong(f"{expr}\n{answer['error']}")
    return [sample for sample in answer["data"]["result"] if not math.isnan(float(sample["value"][1]))]


def check_expression(prometheus, where, expr):
    """Returns whether it has a value."""
    for name in names(expr):
        if not known(name): raise Wrong(f"{where}: the code has no metric {name}")
        if not query(prometheus, f"count({name})"): raise Wrong(f"{where}: no server shows {name}")
    return bool(query(prometheus, filled_in(expr)))


def check_board(prometheus, expressions):
    silent = []
    for where, expr in expressions.items():
        if check_expression(prometheus, where, expr): continue
        reason = next((SILENT[name] for name in names(expr) if name in SILENT), None)
        if not reason: raise Wrong(f"{where} shows nothing: {expr}")
        silent.append(f"{where} ({reason})")
    return silent


def check_rules(prometheus, alerts):
    """As Prometheus has loaded them. Returns those that fire or are about to."""
    groups = json.loads(ask(f"{prometheus}/api/v1/rules")[1])["data"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    if set(rules) != set(alerts): raise Wrong(f"Prometheus has other alerts: {sorted(rules)}")
    for name, rule in rules.items():
        if rule["health"] != "ok": raise Wrong(f"{name}: {rule.get('lastError', rule['health'])}")
        check_expression(prometheus, name, rule["query"])
    return [name for name, rule in rules.items() if rule["state"] != "inactive"]


def check_planted(prometheus):
    """Errors that must be found."""
    for expr in ("sum(rate(martlet_requets_total[1m]))", "martelt_kv_blocks > 1", 'sum by (le) (rate(martlet_queue_bucket{a="b"}[1m]))', "1 - martlet_kv_blocks_free / martlet_kv_block", "rate(martlet_steps_total[1m]"):
        try: check_expression(prometheus, "planted", expr)
        except Wrong: continue
        raise Wrong(f"nothing was found wrong with {expr}")


def check_live(folder, alerts, processes):
    start = time.time()
    server_port, port = free_port(), free_port()
    server, prometheus = f"http://127.0.0.1:{server_port}", f"http://127.0.0.1:{port}"
    processes.append(start_server(folder, server_port))
    wait_for("the server's start", lambda: ask(f"{server}/ready")[0] == 200)
    status, text = ask(f"{server}/admin/keys", {"name": "prometheus", "role": "observer"}, ADMIN)
    if status not in (200, 201): raise Wrong(f"no observer's key: {text}")
    processes.append(start_prometheus(folder, port, server_port, json.loads(text)["key"]))
    wait_for("the first scrape", lambda: query(prometheus, "up == 1"))
    # Engine metrics exist from the first step on, and a rate needs a scrape before what it counts.
    ask(f"{server}/v1/completions", {"model": "base", "prompt": "Rain", "max_tokens": 1}, CALLER)
    wait_for("a scrape after the first step", lambda: query(prometheus, "martlet_steps_total"))
    statuses = drive(server)
    print(f"a server with two adapters and keys answered {', '.join(f'{count} × {status}' for status, count in statuses.items())}")
    if not {200, 400, 401, 404, 429} <= set(statuses): raise Wrong("some kind of answer is missing")
    time.sleep(3)
    expressions = board_expressions()
    silent = check_board(prometheus, expressions)
    print(f"board: {len(expressions)} expressions, all of metrics that exist; {len(expressions) - len(silent)} have values, not {'; '.join(silent)}")
    raised = check_rules(prometheus, alerts)
    print(f"rules: {len(alerts)} alerts are evaluated; raised by this traffic: {', '.join(raised) or 'none'}")
    check_planted(prometheus)
    print(f"planted errors were found; {time.time() - start:.0f} s")


def main():
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            alerts = check_files()
            print(f"files: the board is current, the rules are valid, {len(alerts)} alerts each fire and keep quiet in their test, and are explained")
            check_live(folder, alerts, processes)
        except Wrong as error:
            for log in ("server.log", "prometheus.log"):
                if os.path.exists(f"{folder}/{log}"): print(f"{log} ends with:\n" + "".join(read(f"{folder}/{log}").splitlines(True)[-5:]), file=sys.stderr)
            sys.exit(f"monitoring: {error}")
        finally:
            for process in processes: process.terminate()
            for process in processes: process.wait()


main()

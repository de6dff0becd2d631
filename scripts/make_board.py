"""Writes deploy/monitoring/martlet.json, the Grafana board of a server: scripts/make_board.py [--check]

With --check it writes nothing and fails when the file is not what it would write."""
import json, math, os, sys

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "deploy/monitoring/martlet.json")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What probes and Prometheus ask is no traffic.
TRAFFIC = 'instance=~"$instance",path!~"/metrics|/ready|/health|/healthz"'
FAILED = TRAFFIC + ',status=~"5.."'
SERVER = 'instance=~"$instance"'
MODEL = SERVER + ',model=~"$model"'
# `up` and the process's metrics have the same names everywhere.
JOB = 'job=~"martlet.*",' + SERVER


def rate(metric, labels=SERVER): return f"rate({metric}{{{labels}}}[$__rate_interval])"
def total(metric, labels=SERVER, by=None): return f"sum{f' by ({by}) ' if by else ''}({rate(metric, labels)})"
def quantile(q, metric, labels=SERVER, by="le"): return f"histogram_quantile({q}, {total(metric + '_bucket', labels, by)})"
def mean(metric): return f"{total(metric + '_sum')} / {total(metric + '_count')}"
def quantiles(metric, labels=SERVER): return {f"p{round(100 * q)}": quantile(q, metric, labels) for q in (0.5, 0.95, 0.99)}
def each(metric, name="", labels=SERVER): return {f"{name} {{{{instance}}}}".strip(): f"{metric}{{{labels}}}"}


def thresholds(steps):
    colors = ["green"] + (["yellow", "red"] if len(steps) > 1 else ["red"])
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in zip(colors, [None, *steps])]}


def panel(title, description, unit, queries, steps=(), stacked=False, kind="timeseries", top=None, bottom=0):
    """`steps`: where a value becomes worrying, then bad."""
    defaults = {"unit": unit, "thresholds": thresholds(steps)}
    if bottom is not None: defaults["min"] = bottom
    if top is not None: defaults["max"] = top
    if kind == "stat":
        defaults["noValue"] = "–"
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value" if steps else "short", "graphMode": "area", "textMode": "auto"}
    else:
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stacked else 5, "showPoints": "never",
            "stacking": {"mode": "normal" if stacked else "short", "group": "A"}, "thresholdsStyle": {"mode": "dashed" if steps else "off"}}
        options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
    targets = [{"refId": chr(65 + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend} for i, (legend, expr) in enumerate(queries.items())]
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options, "targets": targets}


def stat(*arguments, **more): return panel(*arguments, kind="stat", **more)


# `>= 0` leaves out what is no number while nothing is asked.
def alone(expr): return {"": expr}


NOW = [
    stat("Servers down", "Targets that Prometheus cannot scrape. A server that is up, but refuses Prometheus' key, counts as down: look at the error on Prometheus' page of targets.",
         "short", alone(f"count(up{{{JOB}}} == 0) or vector(0)"), steps=[1]),
    stat("Answers a second", "Finished requests of the chosen models.", "reqps", alone(total("martlet_requests_total", MODEL))),
    stat("Answered with 5xx", "The share of requests that failed in the server. Above a few per cent: see Errors below, then the log for the code.",
         "percentunit", alone(f'({total("martlet_http_requests_total", FAILED)} or vector(0)) / {total("martlet_http_requests_total", TRAFFIC)} >= 0'), steps=[0.01, 0.05]),
    stat("First token, p95", "How long 19 of 20 requests wait at most for their first token. If it is high, compare Queue and Cold starts: one of them is the reason.",
         "s", alone(quantile(0.95, "martlet_time_to_first_token_seconds", MODEL) + " >= 0"), steps=[2, 10]),
    stat("Requests waiting", "Sequences in the queue. A queue that stays means more is asked than computed.", "short", alone(f"sum(martlet_requests_waiting{{{SERVER}}})"), steps=[10, 100]),
    stat("KV cache in use", "Of the fullest server. Full is no harm by itself; full with preemptions costs time.", "percentunit",
         alone(f"max(1 - martlet_kv_blocks_free{{{SERVER}}} / martlet_kv_blocks{{{SERVER}}})"), steps=[0.8, 0.95], top=1),
    stat("Thrashing", "The share of recent requests that brought back an adapter which had just gone. Above 0.2, give --host-memory more.", "percentunit",
         alone(f"max(martlet_adapter_thrashing{{{SERVER}}})"), steps=[0.1, 0.2], top=1),
    stat("Youngest process", "Time since the last restart of any server. Minutes, without anyone having restarted it, are a crash: look at the log.", "s",
         alone(f"min(time() - process_start_time_seconds{{{JOB}}})")),
]

ROWS = {
    "Requests": [
        panel("Requests by status", "All but probes. 200 also counts streams that ended in an error after they had begun; the log has those.", "reqps",
              {"{{status}}": total("martlet_http_requests_total", TRAFFIC, "status")}, stacked=True),
        panel("Errors", "By route and status. 400 and 404: a client's mistake. 401: a key is wrong or has expired. 429: see Queue. 500: a fault, see the log. 502: an adapter's source. 503: see adapters and restarts. 507: the disk of the adapter cache.",
              "reqps", {"{{status}} {{path}}": total("martlet_http_requests_total", TRAFFIC + ',status=~"[45].."', "status, path")}),
        panel("Answers by model", "The ten most asked, of adapters and of the base. One that rises alone is one client's doing.", "reqps",
              {"{{model}}": f'topk(10, {total("martlet_requests_total", MODEL, "model")})'}),
        panel("Tokens a second", "Prompt tokens and answers' tokens of finished requests: they count when a request ends. Found are prompt tokens that the cache had already.", "short",
              {"prompts": total("martlet_prompt_tokens_total", MODEL), "answers": total("martlet_completion_tokens_total", MODEL), "found in the cache": total("martlet_prefix_tokens_found_total")}),
    ],
    "Latency": [
        panel("Time to first token", "As clients see it: queue, adapter and prompt together. If it is high and the queue is short, prompts are long or adapters cold.", "s",
              quantiles("martlet_time_to_first_token_seconds", MODEL), steps=[2, 10]),
        panel("Time between tokens", "How smoothly answers stream. It rises with the sequences in a step, and while long prompts are computed: lower --max-step-tokens makes it smoother.", "s",
              quantiles("martlet_inter_token_seconds", MODEL), steps=[0.25, 1]),
        panel("First token by model, p95", "The ten slowest. An adapter that is slow alone is cold or has long prompts.", "s",
              {"{{model}}": f'topk(10, {quantile(0.95, "martlet_time_to_first_token_seconds", MODEL, "le, model")})'}),
        panel("Whole requests", "From arrival to the last token. It follows the length of answers.", "s", quantiles("martlet_request_seconds", MODEL)),
    ],
    "Queue": [
        panel("Running and waiting", "Sequences in the batch and in the queue. Running flat at --max-sequences with a queue that grows: add a server, or let --max-queue-delay refuse what would come too late.", "short",
              {"running": f"sum(martlet_requests_running{{{SERVER}}})", "waiting": f"sum(martlet_requests_waiting{{{SERVER}}})"}),
        panel("Time in the queue", "From a sequence's arrival until it is first computed.", "s", quantiles("martlet_queue_seconds"), steps=[1, 10]),
        panel("Refused with 429", "Queue full, first token too late, or a key above its limit; the log has the code of each. The first two call for another server, the last is as intended.", "reqps",
              {"{{path}}": total("martlet_http_requests_total", TRAFFIC + ',status="429"', "path")}),
        panel("Time of a step", "A forward pass, with sampling. Longer steps without more rows: something else takes the processors, or their clock is throttled.", "s", quantiles("martlet_step_seconds")),
        panel("What a step holds", "On average. Rows are tokens. The more sequences a step, the more tokens a second; the more adapters, the more work a row.", "short",
              {"rows": mean("martlet_step_tokens"), "sequences": mean("martlet_step_sequences"), "adapters": mean("martlet_step_adapters")}),
        panel("Steps a second", "Zero while requests run means that the engine stands still: restart the server, and keep its log.", "short", {"{{instance}}": rate("martlet_steps_total")}),
        panel("Drafted tokens", "Those that came true save a step each. If few do, --draft-rows 0 costs nothing.", "short",
              {"drafted": total("martlet_draft_tokens_total"), "came true": total("martlet_draft_tokens_accepted_total")}),
    ],
    "KV cache": [
        panel("In use", "The share of blocks that sequences hold. Kept blocks are free ones that hold beginnings of prompts; they go when their room is needed.", "percentunit",
              {"in use {{instance}}": f"1 - martlet_kv_blocks_free{{{SERVER}}} / martlet_kv_blocks{{{SERVER}}}", "kept {{instance}}": f"martlet_kv_blocks_kept{{{SERVER}}} / martlet_kv_blocks{{{SERVER}}}"}, steps=[0.8, 0.95], top=1),
        panel("Preemptions a second", "Sequences that gave way because the cache was full, and are computed again. More than a few a minute: raise --kv-memory, or lower --max-sequences.", "short",
              {"{{instance}}": rate("martlet_preemptions_total")}, steps=[0.1, 1]),
        panel("Memory of the cache", "Physical memory; it grows as blocks are used for the first time, up to --kv-memory.", "bytes", each("martlet_kv_bytes_resident")),
    ],
    "Adapters": [
        panel("Adapters by tier", "Names are all that can be asked; in RAM are those that answer at once; on the device is 0 without --device-memory.", "short",
              {"names": f"sum(martlet_adapters{{{SERVER}}})", "device": f"sum(martlet_adapters_device{{{SERVER}}})", "RAM": f"sum(martlet_adapters_host{{{SERVER}}})", "disk": f"sum(martlet_adapters_disk{{{SERVER}}})"}),
        panel("Bytes by tier", "To be held against --device-memory, --host-memory and --disk-quota; martlet adapters list shows all three.", "bytes",
              {name: f"sum(martlet_adapter_bytes_{tier}{{{SERVER}}})" for name, tier in (("device", "device"), ("RAM", "host"), ("disk", "disk"))}),
        panel("Cold starts", "Requests whose adapter was in RAM, and those that had to bring it. Many cold ones: the adapters that are asked for do not fit --host-memory.", "reqps",
              {"in RAM": total("martlet_adapter_hits_total"), "cold": total("martlet_adapter_misses_total")}, stacked=True),
        panel("Cold share", "Of requests that name an adapter.", "percentunit",
              {"cold": f'{total("martlet_adapter_misses_total")} / ({total("martlet_adapter_hits_total")} + {total("martlet_adapter_misses_total")})'}, steps=[0.1, 0.5], top=1),
        panel("Loads a second, by part", "load: into RAM, whatever it took. fetch: from a remote source. pack: reading and packing a source. write: a pack onto the disk.", "short",
              {part: total(f"martlet_adapter_{part}_seconds_count") for part in ("load", "fetch", "pack", "write")}),
        panel("Seconds of a load, p95, by part", "Where a cold start's time goes. fetch: the network or the source. pack: the processors. write: the disk. load without the others: reading packs from the disk.", "s",
              {part: quantile(0.95, f"martlet_adapter_{part}_seconds") for part in ("load", "fetch", "pack", "write")}, steps=[5, 30]),
        panel("Evictions a second", "Adapters that left RAM because another needed their room, and adapters that came onto the device. Some are normal; as many as requests is thrashing.", "short",
              {"evictions": total("martlet_adapter_evictions_total"), "onto the device": total("martlet_adapter_activations_total")}),
        panel("Thrashing", "The share of recent requests for which something had to come back that had just gone. Cheapest first: --adapter-weights q8, more --host-memory, fewer pins, more servers.", "percentunit",
              each("martlet_adapter_thrashing"), steps=[0.1, 0.2], top=1),
        panel("Waiting for room in RAM", "Requests that wait because everything in RAM is in use; after 30 seconds they get 503. Raise --host-memory, or lower --max-waiting.", "short",
              each("martlet_adapter_requests_waiting"), steps=[1, 10]),
        panel("Trouble with packs, in an hour", "Damaged: a checksum did not fit, so look at the disk. Not stored: the quota is full of packs that stay, or the disk cannot be written.", "short",
              {"damaged": f"sum(increase(martlet_adapter_packs_damaged_total{{{SERVER}}}[1h]))", "not stored": f"sum(increase(martlet_adapter_packs_not_stored_total{{{SERVER}}}[1h]))"}, steps=[1]),
        panel("Work held back", "Seconds a second that reading ahead and other work which no request waits for stood back. High on a busy server, and as intended.", "s",
              {"{{instance}}": rate("martlet_adapter_pause_seconds_sum")}),
    ],
    "GPU": [
        panel("Pages in use", "Memory of a GPU that cache and adapters share. Empty without one.", "percentunit",
              {"{{instance}}": f"1 - martlet_device_pages_free{{{SERVER}}} / martlet_device_pages{{{SERVER}}}"}, steps=[0.9, 0.98], top=1),
        panel("Uploads of adapters", "Bytes a second onto the GPU, and the rate while an upload runs. If the second is far below the bus, other copies compete.", "Bps",
              {"uploaded": total("martlet_adapter_upload_bytes_total"), "while uploading": f'{total("martlet_adapter_upload_bytes_total")} / {total("martlet_adapter_upload_seconds_total")}'}),
        panel("Adapters uploaded a second", "As many as requests: adapters take turns. Raise --device-memory.", "short", {"{{instance}}": rate("martlet_adapter_uploads_total")}),
    ],
    "Process": [
        panel("Memory", "Physical memory: weights, cache and adapters. What grows beside them for days is a leak: report it.", "bytes", each("process_resident_memory_bytes", labels=JOB)),
        panel("Processors in use", "At --threads while requests run, near none otherwise.", "short", {"{{instance}}": rate("process_cpu_seconds_total", JOB)}),
        panel("Open files", "Sockets count. At the limit no client can connect: raise LimitNOFILE.", "short", {**each("process_open_fds", labels=JOB), **each("process_max_fds", "limit", JOB)}),
        panel("Restarts in an hour", "Any that nobody made is a crash.", "short", {"{{instance}}": f"changes(process_start_time_seconds{{{JOB}}}[1h])"}, steps=[1]),
        panel("Clock against Prometheus", "Keys that expire, budgets and signed requests to S3 go by the clock. Beyond a few seconds, look at time synchronization on both machines.", "s",
              {"{{instance}}": f"max by (instance) (vllm:lora_requests_info{{{SERVER}}} - timestamp(vllm:lora_requests_info{{{SERVER}}}))"}, bottom=None),
        panel("Time of a scrape", "A second or more: the server has no processor left for answering, or has thousands of series.", "s", each("scrape_duration_seconds", labels=JOB), steps=[1, 5]),
    ],
}


def place(panel, x, y, width, height): return {**panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def laid_out():
    panels, y = [place(item, 3 * i, 0, 3, 4) for i, item in enumerate(NOW)], 4
    for title, items in ROWS.items():
        placed = [place(item, 8 * (i % 3), y + 1 + 8 * (i // 3), 8, 8) for i, item in enumerate(items)]
        # A row that is closed holds its panels; those of an open one come after it.
        closed = title == "GPU"
        panels.append(place({"type": "row", "title": title, "collapsed": closed, "panels": placed if closed else []}, 0, y, 24, 1))
        if not closed: panels += placed
        y += 1 if closed else 1 + 8 * math.ceil(len(items) / 3)
    for i, item in enumerate(panels + [inner for item in panels for inner in item.get("panels", [])]): item["id"] = i + 1
    return panels


def variable(name, label, query, matches_all):
    return {"type": "query", "name": name, "label": label, "datasource": SOURCE, "query": {"query": query, "refId": name}, "definition": query,
            "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": matches_all, "current": {"text": ["All"], "value": ["$__all"]}, "options": []}


def board():
    return {
        "uid": "martlet", "title": "Martlet", "description": "One or more Martlet servers. What each alert asks for is in docs/operating/monitoring.md.",
        "tags": ["martlet"], "schemaVersion": 42, "version": 1, "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
        "time": {"from": "now-3h", "to": "now"}, "annotations": {"list": []}, "links": [],
        "templating": {"list": [
            {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "refresh": 1, "current": {}, "options": [], "multi": False, "includeAll": False},
            variable("instance", "Server", "label_values(martlet_build_info, instance)", ".*"),
            variable("model", "Model", 'label_values(martlet_requests_total{instance=~"$instance"}, model)', ".*"),
        ]},
        "panels": laid_out(),
    }


def main():
    text = json.dumps(board(), indent=1, ensure_ascii=False) + "\n"
    if sys.argv[1:] == ["--check"]:
        with open(PATH) as file:
            if file.read() != text: sys.exit(f"{PATH} is not what scripts/make_board.py writes: run it")
    else:
        with open(PATH, "w") as file: file.write(text)


if __name__ == "__main__": main()

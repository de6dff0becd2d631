"""What scripts/check-deploy does. Kinds that Kubernetes itself does not have are checked against the part of their
schemas that is used here, below: nothing else is allowed, so a misspelt field is found."""
import copy, glob, os, re, shutil, subprocess, sys, tempfile

import jsonschema, kubernetes_validate, yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MARTLET = os.path.abspath(sys.argv[1])
BIN = os.path.dirname(sys.executable)


def shape(required=(), **properties): return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
def list_of(items): return {"type": "array", "items": items, "minItems": 1}


TEXT, NUMBER, LABELS = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": r"^(\d+(ms|[smhd]))+$"}
POLICIES = list_of(shape(["type", "value", "periodSeconds"], type={"enum": ["Pods", "Percent"]}, value=NUMBER, periodSeconds=NUMBER))
RULE = shape(stabilizationWindowSeconds=NUMBER, policies=POLICIES, selectPolicy={"enum": ["Max", "Min", "Disabled"]})
KINDS = {
    # https://keda.sh/docs/latest/reference/scaledobject-spec/
    ("keda.sh/v1alpha1", "ScaledObject"): shape(
        ["scaleTargetRef", "triggers"], scaleTargetRef=shape(["name"], name=TEXT, kind=TEXT, apiVersion=TEXT), minReplicaCount=NUMBER, maxReplicaCount=NUMBER,
        idleReplicaCount={"const": 0}, pollingInterval=NUMBER, cooldownPeriod=NUMBER, initialCooldownPeriod=NUMBER,
        fallback=shape(["failureThreshold", "replicas"], failureThreshold=NUMBER, replicas=NUMBER, behavior={"enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]}),
        advanced=shape(restoreToOriginalReplicaCount={"type": "boolean"}, horizontalPodAutoscalerConfig=shape(name=TEXT, behavior=shape(scaleUp=RULE, scaleDown=RULE))),
        triggers=list_of(shape(["type", "metadata"], type={"enum": ["external-push", "external"]}, name=TEXT, metadata=shape(["scalerAddress"], scalerAddress={"type": "string", "pattern": r"^[a-z0-9.-]+:\d+$"})))),
    # https://gateway-api-inference-extension.sigs.k8s.io/reference/spec/
    ("inference.networking.k8s.io/v1", "InferencePool"): shape(
        ["selector", "targetPorts"], selector=shape(["matchLabels"], matchLabels=LABELS), targetPorts={**list_of(shape(["number"], number={"type": "integer", "minimum": 1, "maximum": 65535})), "maxItems": 8},
        appProtocol={"enum": ["http", "kubernetes.io/h2c"]},
        endpointPickerRef=shape(["name"], group=TEXT, kind=TEXT, name=TEXT, port=shape(["number"], number=NUMBER), failureMode={"enum": ["FailOpen", "FailClose"]})),
    # https://gateway-api.sigs.k8s.io/reference/spec/
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): shape(
        ["rules"], parentRefs=list_of(shape(["name"], name=TEXT, namespace=TEXT, sectionName=TEXT)), hostnames=list_of(TEXT),
        rules=list_of(shape(["backendRefs"], matches=list_of(shape(path=shape(["type", "value"], type={"enum": ["Exact", "PathPrefix", "RegularExpression"]}, value=TEXT))),
                            backendRefs=list_of(shape(["name"], group=TEXT, kind=TEXT, name=TEXT, port=NUMBER, weight=NUMBER))))),
    # https://prometheus-operator.dev/docs/api-reference/api/
    ("monitoring.coreos.com/v1", "ServiceMonitor"): shape(
        ["selector", "endpoints"], selector=shape(["matchLabels"], matchLabels=LABELS), endpoints=list_of(shape(["port"], port=TEXT, path=TEXT, interval=DURATION, scheme={"enum": ["http", "https"]}))),
    ("monitoring.coreos.com/v1", "PrometheusRule"): shape(
        ["groups"], groups=list_of(shape(["name", "rules"], name=TEXT, interval=DURATION, rules=list_of({**shape(
            ["alert", "expr", "annotations"], alert=TEXT, expr=TEXT, labels=LABELS, annotations=LABELS, **{"for": DURATION})})))),
}


class Wrong(Exception): pass


def options(role):
    """The long options of a command, by its own help."""
    text = subprocess.run([MARTLET, role, "--help"], capture_output=True, text=True).stdout
    return set(re.findall(r"^\s+(--[a-z-]+)", text, re.M))


OPTIONS = {role: options(role) for role in ("serve", "route")}


def known_metrics():
    with open(os.path.join(ROOT, "Sources/Telemetry/MetricHelp.swift")) as file: return set(re.findall(r'"([a-z_]+)":', file.read()))


METRICS = known_metrics()


def manifests(folder):
    run = subprocess.run([os.path.join(BIN, "kubectl"), "kustomize", folder], capture_output=True, text=True)
    if run.returncode: raise Wrong(run.stderr.strip())
    return [d for d in yaml.safe_load_all(run.stdout) if d]


def check_kind(document):
    key = document["apiVersion"], document["kind"]
    if key in KINDS:
        try: jsonschema.validate(document.get("spec"), KINDS[key])
        except jsonschema.ValidationError as error: raise Wrong(f"{key[1]} {document['metadata']['name']}: {error.message} at {list(error.path)}")
    else:
        try: kubernetes_validate.validate(document, "1.34", strict=True)
        except Exception as error: raise Wrong(f"{key[1]} {document['metadata']['name']}: {str(error)[:300]}")


def check_command(arguments, where):
    role = arguments[0]
    if role not in OPTIONS: raise Wrong(f"{where}: there is no command {role}")
    for argument in arguments[1:]:
        name = argument.split("=")[0]
        if name.startswith("--") and name not in OPTIONS[role]: raise Wrong(f"{where}: martlet {role} has no option {name}")


def check_together(documents):
    """What one manifest says of another."""
    def of(kind): return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}
    deployments, services = of("Deployment"), of("Service")
    pods = {name: d["spec"]["template"]["metadata"]["labels"] for name, d in deployments.items()}
    ports = {p["name"] for d in deployments.values() for c in d["spec"]["template"]["spec"]["containers"] for p in c["ports"]}
    def selects(labels): return any(labels.items() <= pod.items() for pod in pods.values())
    for name, d in deployments.items():
        spec = d["spec"]["template"]["spec"]
        if not spec["securityContext"].get("runAsNonRoot"): raise Wrong(f"{name} may run as root")
        for c in spec["containers"]:
            if not c["securityContext"].get("readOnlyRootFilesystem"): raise Wrong(f"{name}: {c['name']} may write its root")
            if not c.get("readinessProbe"): raise Wrong(f"{name}: {c['name']} has no readiness probe")
            if "martlet" in c["image"]: check_command(c["args"], name)
            known = {v["name"] for v in spec.get("volumes", [])}
            for mount in c.get("volumeMounts", []):
                if mount["name"] not in known: raise Wrong(f"{name}: there is no volume {mount['name']}")
    for name, d in services.items():
        if not selects(d["spec"]["selector"]): raise Wrong(f"Service {name} selects no pod")
        for port in d["spec"]["ports"]:
            if port["targetPort"] not in ports: raise Wrong(f"Service {name}: no container has a port {port['targetPort']}")
    for kind in ("PodDisruptionBudget", "InferencePool"):
        for name, d in of(kind).items():
            if not selects(d["spec"]["selector"]["matchLabels"]): raise Wrong(f"{kind} {name} selects no pod")
    for name, d in of("NetworkPolicy").items():
        for rule in d["spec"]["ingress"]:
            for port in rule.get("ports", []):
                if port["port"] not in ports: raise Wrong(f"NetworkPolicy {name}: no container has a port {port['port']}")
    for name, d in of("ScaledObject").items():
        if d["spec"]["scaleTargetRef"]["name"] not in deployments: raise Wrong(f"ScaledObject {name} scales nothing")
        address = d["spec"]["triggers"][0]["metadata"]["scalerAddress"]
        if address.split(".")[0] not in services: raise Wrong(f"ScaledObject {name} asks {address}, which is no Service")
    for name, d in of("InferencePool").items():
        if d["spec"]["endpointPickerRef"]["name"] not in services: raise Wrong(f"InferencePool {name} asks no Service")
    for name, d in of("PrometheusRule").items():
        for rule in d["spec"]["groups"][0]["rules"]:
            for metric in re.findall(r"martlet_[a-z_]+", rule["expr"]):
                if metric not in METRICS: raise Wrong(f"{rule['alert']}: there is no metric {metric}")


def check_envoy(path):
    import envoy
    with tempfile.TemporaryDirectory() as folder:
        with open(path) as file: text = file.read()
        with open(f"{folder}/endpoints.json", "w") as file: file.write('{"resources": []}')
        with open(f"{folder}/envoy.yaml", "w") as file: file.write(text.replace("/run/martlet", folder))
        run = subprocess.run([os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"), "--mode", "validate", "-c", f"{folder}/envoy.yaml"], capture_output=True, text=True)
        if run.returncode: raise Wrong(run.stderr.strip().splitlines()[-1][:300])


def check_units(folder):
    for path in sorted(glob.glob(f"{folder}/*.service")):
        with open(path) as file: text = file.read()
        command = re.search(r"^ExecStart=(.*)$", text, re.M)[1].split()
        check_command([command[1]] + [a for a in command[2:] if a.startswith("--")], os.path.basename(path))
        if not shutil.which("systemd-analyze"): continue
        with tempfile.TemporaryDirectory() as place:
            unit = os.path.join(place, os.path.basename(path))
            with open(unit, "w") as file: file.write(text.replace("/usr/bin/martlet", MARTLET))
            run = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
            own = [l for l in run.stderr.splitlines() if os.path.basename(path) in l]
            if own: raise Wrong(own[0])


def check(folder):
    for kind in ("base", "gateway"):
        documents = manifests(f"{folder}/kubernetes/{kind}")
        for document in documents: check_kind(document)
        check_together(documents)
    check_envoy(f"{folder}/standalone/envoy.yaml")
    check_units(f"{folder}/standalone")


PLANTED = [
    ("kubernetes/base/replicas.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"),
    ("kubernetes/base/replicas.yaml", "periodSeconds: 2", "periodSeconds: often"),
    ("kubernetes/base/replicas.yaml", "--drain-delay=2", "--drain-dely=2"),
    ("kubernetes/base/replicas.yaml", "targetPort: http", "targetPort: htp"),
    ("kubernetes/base/router.yaml", "mountPath: /run/martlet}", "mountpath: /run/martlet}"),
    ("kubernetes/base/router.yaml", "- {name: run, mountPath: /run/martlet}", "- {name: runs, mountPath: /run/martlet}"),
    ("kubernetes/base/scaling.yaml", "minReplicaCount", "minReplicacount"),
    ("kubernetes/base/scaling.yaml", "scaleTargetRef: {name: martlet-replica}", "scaleTargetRef: {name: martlet-replicas}"),
    ("kubernetes/base/scaling.yaml", "external-push", "external_push"),
    ("kubernetes/base/monitoring.yaml", "martlet_router_refused_total", "martlet_router_refusals_total"),
    ("kubernetes/base/monitoring.yaml", "interval: 15s", "interval: 15"),
    ("kubernetes/base/network.yaml", "{port: status}", "{port: state}"),
    ("kubernetes/gateway/pool.yaml", "failureMode: FailOpen", "failureMode: FailOpened"),
    ("kubernetes/gateway/pool.yaml", "targetPorts", "targetPort"),
    ("kubernetes/base/envoy.yaml", "request_body_mode: BUFFERED", "request_body_mode: BUFERED"),
    ("kubernetes/base/envoy.yaml", "failure_mode_allow", "failure_mode_allows"),
    ("standalone/martlet-route.service", "--endpoint-file", "--endpoints-file"),
    ("standalone/martlet-serve.service", "Restart=always", "Restart=forever"),
]


def main():
    deploy = os.path.join(ROOT, "deploy")
    try: check(deploy)
    except Wrong as error: sys.exit(f"deploy: {error}")
    missed = []
    for path, right, wrong in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            copied = os.path.join(folder, "deploy")
            shutil.copytree(deploy, copied, symlinks=True)
            with open(os.path.join(copied, path)) as file: text = file.read()
            assert right in text, (path, right)
            with open(os.path.join(copied, path), "w") as file: file.write(text.replace(right, wrong, 1))
            try: check(copied); missed.append(f"{path}: {wrong}")
            except Wrong: pass
    if missed: sys.exit("not caught:\n" + "\n".join(missed))
    print(f"deploy: all is well, and {len(PLANTED)} planted errors were caught")


main()

"""What scripts/check-image does once there is an image: the Deployment of replicas, with volumes of this machine."""
import json, os, shutil, subprocess, sys, tempfile, time

import yaml

from cluster_lab import free_port, make_adapters, request, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def podman(*arguments, text=None): return subprocess.run(["podman", *arguments], input=text, capture_output=True, text=True)


def main():
    folder, port = tempfile.mkdtemp(), free_port()
    os.makedirs(f"{folder}/models"); shutil.copy(sys.argv[1], f"{folder}/models/base.gguf")
    names = make_adapters(f"{folder}/adapters", 3)
    os.makedirs(f"{folder}/cache"); os.makedirs(f"{folder}/tmp")
    subprocess.run(["chown", "-R", "65532:65532", folder], check=True)
    built = subprocess.run([os.path.join(os.path.dirname(sys.executable), "kubectl"), "kustomize", f"{ROOT}/deploy/kubernetes/base"], capture_output=True, text=True, check=True)
    deployment = next(d for d in yaml.safe_load_all(built.stdout) if d["kind"] == "Deployment" and d["metadata"]["name"] == "martlet-replica")
    spec = deployment["spec"]["template"]["spec"]
    container = spec["containers"][0]
    container["image"] = "localhost/martlet:check"
    container["args"] = [a.replace("/models/base", "/models/base.gguf") for a in container["args"]] + ["--threads=1", "--context-length=512", "--kv-memory=64MiB"]
    container["ports"][0]["hostPort"] = port
    container["resources"] = {}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"): container.pop(probe)  # podman runs them by systemd timers
    spec["volumes"] = [{"name": v["name"], "hostPath": {"path": f"{folder}/{v['name']}", "type": "Directory"}} for v in spec["volumes"]]
    deployment["spec"]["replicas"] = 1
    deployment["metadata"].pop("namespace")
    path = f"{folder}/deployment.yaml"
    with open(path, "w") as file: yaml.safe_dump(deployment, file)
    try:
        played = podman("play", "kube", "--build=false", path)
        assert played.returncode == 0, played.stderr
        name = podman("ps", "--format", "{{.Names}}", "--filter", "ancestor=localhost/martlet:check").stdout.split()[0]
        try: wait_until(lambda: request(port, "GET", "/ready", timeout=2)[0] == 200, 60, "the container is ready")
        except RuntimeError: raise RuntimeError(podman("logs", name).stderr[-2000:] + podman("logs", name).stdout[-2000:])
        status, headers, body = request(port, "POST", "/v1/completions", {"model": names[1], "prompt": "Rain", "max_tokens": 5})
        assert status == 200, body
        inside = json.loads(podman("inspect", name).stdout)[0]
        assert inside["HostConfig"]["ReadonlyRootfs"], "its root is read-only"
        process = inside["State"]["Pid"]
        owner = os.stat(f"/proc/{process}").st_uid
        assert owner == 65532, f"it runs as {owner}"
        size = podman("image", "inspect", "localhost/martlet:check", "--format", "{{.Size}}").stdout.strip()
        stopped = podman("stop", "--time", "30", name)
        code = podman("inspect", name, "--format", "{{.State.ExitCode}}").stdout.strip()
        assert code == "0", f"a stop ended it with {code}: {stopped.stderr}"
        print(f"image: {int(size) >> 20} MiB, runs as 65532 with a read-only root, answered as {headers['x-martlet-replica']}, stopped with 0")
    finally:
        podman("play", "kube", "--down", path)
        shutil.rmtree(folder, ignore_errors=True)


main()

"""A live view of a cluster on one machine: scripts/cluster starts it."""
import argparse, collections, sys, threading, time

from cluster_lab import Lab
from cluster_load import Load, hit_share, percentile
from cluster_scaler import StandInAutoscaler

SHADES = " ░▒▓█"


def picture(state, results, phase, lab, width):
    """The screen, line by line."""
    names = {r.address: r.name for r in lab.replicas}
    recent = [r for r in results if r.start + r.seconds > time.time() - 5]
    good = [r for r in recent if r.status == 200]
    lines = [f"{phase}", "",
             f"  {len(good) / 5:5.1f} requests a second   {hit_share(recent):6.1%} found in memory   first byte to last: median {percentile(recent, .5) * 1000:4.0f} ms, p99 {percentile(recent, .99) * 1000:4.0f} ms"
             if good else "  no requests", f"  {state['held']:5} held            failed so far: {sum(r.status != 200 for r in results)}", ""]
    lines.append("  replica      running  waiting   adapters in memory: each column is one, darker when hotter; · is on the disk")
    adapters = sorted(state["adapters"], key=lambda a: a["name"])[:width - 40]
    hottest = max([a["heat"] for a in adapters] + [0.01])
    for replica in state["replicas"]:
        row = ""
        for adapter in adapters:
            tier = adapter["tiers"].get(replica["name"])
            shade = SHADES[1 + min(3, int(4 * (adapter["heat"] / hottest) ** 0.5))]
            row += shade if tier in ("host", "device") else "·" if tier == "disk" else " "
        mood = "draining" if replica["draining"] else "joining" if replica["joining"] else "" if replica["ready"] else "silent"
        lines.append(f"  {names.get(replica['name'], replica['name']):11} {replica['running']:8} {replica['waiting']:8}   {row}  {mood}")
    if not state["replicas"]: lines.append("  none: the stand-in for KEDA starts one when the router says that somebody waits")
    lines += ["", "  hottest       requests at once   copies   where"]
    for adapter in sorted(adapters, key=lambda a: -a["heat"])[:8]:
        where = ", ".join(sorted(names.get(p, p) for p, t in adapter["tiers"].items() if t in ("host", "device")))
        lines.append(f"  {adapter['name']:12} {adapter['heat']:16.2f} {adapter['copies']:8}   {where}")
    return lines


def main():
    parser = argparse.ArgumentParser(prog="scripts/cluster", description="Shows a cluster on this machine.")
    parser.add_argument("martlet"); parser.add_argument("model")
    parser.add_argument("--replicas", type=int, default=3, help="at most so many (3)")
    parser.add_argument("--adapters", type=int, default=100, help="so many adapters (100)")
    parser.add_argument("--seconds", type=float, default=90, help="how long requests come (90)")
    options = parser.parse_args()
    isatty = sys.stdout.isatty()
    print(f"Making {options.adapters} random adapters, starting a router and Envoy; there is no replica yet.", flush=True)
    router_options = ["--idle-seconds", "5"]
    room = max(2, options.adapters * 2 // 5)
    with Lab(options.martlet, options.model, adapter_count=options.adapters, room=room, router_options=router_options) as lab:
        lab.start_routers(1); lab.start_envoy()
        scaler = StandInAutoscaler(lab, lab.routers[0], most=options.replicas)
        scaler.start()
        loads, results = [], []
        def everything(): return [r for load in loads for r in load.results]

        def show(phase, seconds, done=lambda: False):
            end = time.time() + seconds
            while time.time() < end and not done():
                lines = picture(lab.routers[0].state(), everything(), phase, lab, 140)
                if isatty: print("\033[2J\033[H" + "\n".join(lines), flush=True)
                time.sleep(0.5)
            if not isatty: print("\n".join(lines) + "\n", flush=True)

        show("Nobody asks: no replica runs.", 3)
        part = options.seconds / 3
        order = list(lab.names)
        for number, phase in enumerate(["Requests come: replicas start, and hot adapters spread.", "Popularity moves: other adapters are hot now.", "It moves again."]):
            shift = number * len(order) // 3
            with Load(lab, clients=24, alpha=0.4, order=order[shift:] + order[:shift], seed=number) as load:
                loads.append(load)
                show(phase, part)
        show("Nobody asks any more: replicas drain and stop.", 40, done=lambda: not any(r.runs for r in lab.replicas))
        scaler.stop()
        results = everything()
        tiers = collections.Counter(r.tier for r in results if r.status == 200)
        print(f"{len(results)} requests, {sum(r.status != 200 for r in results)} failed, {hit_share(results):.1%} found their adapter in memory ({dict(tiers)}).")
        print(f"The first of them waited {loads[0].results[0].seconds:.1f} s for the first replica; {sum(r.runs for r in lab.replicas)} replicas run now.")
        sys.exit(any(r.status != 200 for r in results))


main()

"""Judges a suite's values by what a schema lets a model write: scripts/check_schemas.py MARTLET FOLDER"""
import collections, concurrent.futures as futures, glob, json, os, subprocess, sys, tempfile

MARTLET, FOLDER = sys.argv[1:3]
LEAST = 620  # values judged right, of which schema libraries that refuse what they cannot do reach 580


def judge(group):
    """For each value: right, refused, or what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        schema, values = os.path.join(folder, "schema.json"), os.path.join(folder, "values.json")
        with open(schema, "w") as file: json.dump(group["schema"], file)
        with open(values, "w") as file: json.dump([t["data"] for t in group["tests"]], file)
        told = subprocess.run([MARTLET, "grammar", "check", schema, values], capture_output=True, text=True, timeout=60)
    answer = json.loads(told.stdout)
    if answer["schema"] == "refused": return [("refused", f"{answer['code']} {answer['keyword']}")] * len(group["tests"])
    wrong = {True: "an invalid value is accepted", False: "a valid value is rejected"}
    return [("right", "") if found == t["valid"] else (wrong[found], f"{group['description']}: {t['description']}") for found, t in zip(answer["instances"], group["tests"])]


def main():
    groups = [g for path in sorted(glob.glob(os.path.join(FOLDER, "*.json"))) for g in json.load(open(path))]
    counts = collections.Counter()
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for results in pool.map(judge, groups):
            for kind, detail in results:
                counts[kind] += 1
                if kind not in ("right", "refused"): print(f"{kind}: {detail}")
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    if counts["right"] < LEAST or counts["an invalid value is accepted"]: sys.exit(1)


main()

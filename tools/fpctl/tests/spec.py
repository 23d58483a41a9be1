#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Compare the tables of fpc_attr.c with the netlink spec, word by word.

Usage: spec.py TABLES SPEC, where TABLES is the test program of that name.
"""
import json
import subprocess
import sys

import yaml


def expected(spec):
    """What each table entry must be, in the spec's order."""
    enums = {d["name"]: d for d in spec["definitions"] if d["type"] == "enum"}
    ops = {op["name"]: op for op in spec["operations"]["list"]}
    settable = ops["set"]["do"]["request"]["attributes"]
    replies = {"cfph": ops["get"]["do"]["reply"]["attributes"],
               "stats": ops["stats-get"]["do"]["reply"]["attributes"],
               "zone": ops["zone-get"]["dump"]["reply"]["attributes"],
               "leaf": ops["map-raw-get"]["dump"]["reply"]["attributes"],
               "event": ops["event-ntf"]["event"]["attributes"]}
    for group in spec["attribute-sets"]:
        for number, attr in enumerate(group["attributes"], 1):
            if attr["name"] not in replies[group["name"]]:
                continue
            entry = {"set": group["name"], "attr": number,
                     "name": attr["name"], "kind": attr["type"],
                     "settable": 0, "min": 0, "max": 0, "choices": [],
                     "doc": " ".join(attr["doc"].split())}
            if "enum" in attr:
                entry["kind"] = "enum"
                entry["choices"] = [[e["name"], e["doc"]] for e
                                    in enums[attr["enum"]]["entries"]]
            if group["name"] == "cfph" and attr["name"] in settable:
                checks = attr.get("checks", {})
                entry["settable"] = 1
                entry["min"] = checks.get("min", 0)
                entry["max"] = checks.get("max",
                                          max(len(entry["choices"]) - 1, 0))
                if entry["max"] == 1 and not entry["choices"]:
                    entry["kind"] = "bool"
                    entry["choices"] = [["off", ""], ["on", ""]]
            yield entry


def main():
    tables, path = sys.argv[1:]
    with open(path, encoding="utf-8") as f:
        want = list(expected(yaml.safe_load(f)))
    lines = subprocess.run([tables], check=True, stdout=subprocess.PIPE,
                           encoding="utf-8", timeout=30).stdout.splitlines()
    got = [json.loads(line) for line in lines]
    failed = 0
    print(f"KTAP version 1\n1..{len(want) + 1}")
    for i, entry in enumerate(want):
        ok = i < len(got) and got[i] == entry
        if not ok:
            print(f"# spec: {entry}")
            print(f"# fpctl: {got[i] if i < len(got) else None}")
        failed += not ok
        print(f"{'ok' if ok else 'not ok'} {i + 1} {entry['set']} {entry['name']}")
    ok = len(got) == len(want)
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {len(want) + 1} nothing else")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

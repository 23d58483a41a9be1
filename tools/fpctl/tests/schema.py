#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Check the JSON output against schema/*.json.

Usage: schema.py CMDLINE SCHEMADIR, where CMDLINE is the test program of that
name: "CMDLINE --as KERNEL ARG..." is fpctl on a made-up kernel.
"""
import json
import os
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("KTAP version 1\n1..1\n"
          "ok 1 schemas # SKIP python3-jsonschema is not installed")
    sys.exit(4)

KERNELS = ["ready", "migrating", "off", "scanning", "future", "tuned"]
# As new as fpctl; the others leave out what is required of it.
COMPLETE = "tuned"
# Schema, words, number of objects.
COMMANDS = [("show", ["show"], 1), ("stats", ["stats"], 1),
            ("stats", ["stats", "--watch", "1"], 3),
            ("zone", ["stats", "zone"], 1), ("map", ["map"], 1),
            ("reclaim", ["reclaim", "50"], 1),
            ("monitor", ["monitor"], 7)]


def load(directory, name):
    with open(os.path.join(directory, name + ".json"), encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def loose(schema):
    """The same, and nothing is required."""
    if isinstance(schema, dict):
        return {key: loose(value) for key, value in schema.items() if key != "required"}
    return schema


def objects(text):
    """The JSON objects one after the other, indented or not."""
    decoder = json.JSONDecoder()
    found = []
    while text.strip():
        one, end = decoder.raw_decode(text.lstrip())
        found.append(one)
        text = text.lstrip()[end:]
    return found


def check_one(data, schema, options):
    """One object; the error text, or None."""
    jsonschema.validate(data, schema)
    unknown = set(data) - set(schema["properties"])
    if unknown:
        return f"not in the schema: {sorted(unknown)}"
    if ("time-ms" in data) != ("-t" in options):
        return "time-ms is there without -t, or not there with it"
    return None


def check(cmdline, schema, kernel, options, words, number):
    """One run; the error text, or None."""
    run = subprocess.run([cmdline, "--as", kernel, *options, *words],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         encoding="utf-8", timeout=30, check=False)
    if run.returncode:
        return f"exit code {run.returncode}: {run.stdout}"
    if kernel != COMPLETE or words == ["stats", "zone"]:
        schema = loose(schema)
    try:
        found = objects(run.stdout)
        for data in found:
            error = check_one(data, schema, options)
            if error:
                return error
    except (ValueError, jsonschema.ValidationError) as e:
        return str(e)
    if len(found) != number:
        return f"{len(found)} objects instead of {number}"
    if "-p" not in options and run.stdout.count("\n") != number:
        return "not one line for each object"
    return None


def main():
    cmdline, directory = sys.argv[1:]
    rows = [(k, o, c) for c in COMMANDS for k in KERNELS
            for o in (["-j"], ["-p"], ["-j", "-t"])]
    failed = 0
    print(f"KTAP version 1\n1..{len(rows)}")
    for i, (kernel, options, (name, words, number)) in enumerate(rows, 1):
        error = check(cmdline, load(directory, name), kernel, options, words,
                      number)
        if error:
            failed += 1
            print("# " + error.replace("\n", "\n# "))
        print(f"{'not ok' if error else 'ok'} {i} fpctl {' '.join(options)} "
              f"{' '.join(words)}, kernel {kernel}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Write what fpctl takes from the netlink spec: generated/fpc_table.c, schema/*.json.

Usage: tables.py SPEC DIRECTORY.  `make regen` runs it, `make check-generated`
compares what it writes with what is committed.

What the spec does not say comes from its words: the unit of a number is the end of
its name, or the first word of its text; a number that is 0 or 1 is a switch; and what
a string looks like stands behind the first comma of its text.
"""
import json
import pathlib
import sys

import yaml

UNITS = {"ms": "ms", "ns": "ns", "bytes": "bytes", "pages": "pages", "percent": "%"}
# Name in C, attribute set, and the operation whose answer has all of it.
TABLES = [("status", "cfph", "get"), ("stats", "stats", "stats-get"),
          ("zone", "zone", "zone-get"), ("leaf", "leaf", "map-raw-get"),
          ("event", "event", "event-ntf"), ("reclaim", "reclaim", "reclaim")]
KINDS = {"u32": "FPC_U32", "u64": "FPC_U64", "string": "FPC_STRING",
         "binary": "FPC_BYTES"}


def c(name):
    """The name of a spec in C."""
    return name.upper().replace("-", "_")


def text(doc):
    return " ".join(doc.split())


class Spec:
    """The spec, by name."""

    def __init__(self, path):
        spec = yaml.safe_load(path.read_text())
        self.enums = {d["name"]: d["entries"] for d in spec["definitions"]}
        self.sets = {s["name"]: {a["name"]: a for a in s["attributes"]}
                     for s in spec["attribute-sets"]}
        self._ops = {op["name"]: op for op in spec["operations"]["list"]}
        self.settable = self._ops["set"]["do"]["request"]["attributes"]

    def answer(self, name):
        """The attributes of an operation's answer, in the order of their numbers."""
        op = self._ops[name]
        has = op.get("event") or op[("dump" if "dump" in op else "do")]["reply"]
        return [a for a in self.sets[op["attribute-set"]].values()
                if a["name"] in has["attributes"]]


# --- generated/fpc_table.c ---

def string(words):
    return json.dumps(words, ensure_ascii=True)


def choices(enum):
    return enum.replace("-", "_") + "s"


def field(spec, prefix, attr):
    """One line of a table."""
    name, doc, kind = attr["name"], text(attr["doc"]), KINDS[attr["type"]]
    unit = UNITS.get(name.rsplit("-", 1)[-1]) or UNITS.get(doc.split()[0].lower(), "")
    more = [f".unit = {string(unit)}"]
    checks = attr.get("checks", {})
    if "enum" in attr:
        kind = "FPC_ENUM"
        more.append(f"CHOICES({choices(attr['enum'])})")
    if prefix == "CFPH_A" and name in spec.settable:
        more.append(".settable = true")
        if kind == "FPC_STRING":
            more.append(f".hint = {string(doc.split('.')[0].split(', ', 1)[1])}")
    if checks == {"max": 1}:
        kind = "FPC_BOOL"
        more.append("CHOICES(switches)")
    elif checks:
        more.append(f".min = {checks.get('min', 0)}, .max = {checks['max']}")
    return (f"\t{{ {prefix}_{c(name)}, {kind}, .name = {string(name)}, "
            f"{', '.join(more)}, .doc = {string(doc)} }},")


def table(spec):
    yield ("// SPDX-License-Identifier: GPL-2.0\n"
           "/* Made by tools/fpctl/tables.py from Documentation/netlink/specs/cfph.yaml. */\n"
           "#include <linux/cfph.h>\n\n"
           '#include "fpc_attr.h"\n\n'
           "#define CHOICES(a) .choices = (a), .nr_choices = sizeof(a) / sizeof((a)[0])\n\n"
           "static const struct fpc_choice switches[] = {\n"
           '\t{ "off", "" },\n\t{ "on", "" },\n};\n')
    for name, entries in spec.enums.items():
        yield f"static const struct fpc_choice {choices(name)}[] = {{"
        for entry in entries:
            yield f"\t{{ {string(entry['name'])}, {string(text(entry['doc']))} }},"
        yield "};"
    for name, group, op in TABLES:
        prefix = "CFPH_A" if group == "cfph" else f"CFPH_A_{c(group)}"
        yield f"static const struct fpc_field {name}[] = {{"
        for attr in spec.answer(op):
            yield field(spec, prefix, attr)
        yield "};\n"
    for name, _, _ in TABLES:
        yield (f"const struct fpc_table fpc_{name}_table = "
               f"{{ {name}, sizeof({name}) / sizeof({name}[0]) }};")


# --- schema/*.json ---

def number(doc, most):
    return {"type": "integer", "minimum": 0, "maximum": most, "description": doc}


def value(spec, attr):
    """What a key may be."""
    doc = text(attr["doc"])
    if "enum" in attr:
        return {"type": "string", "description": doc,
                "examples": [e["name"] for e in spec.enums[attr["enum"]]]}
    if attr["type"] == "string":
        return {"type": "string", "description": doc}
    if attr["type"] == "binary":
        return {"type": "array", "description": doc,
                "items": {"type": "integer", "minimum": 0, "maximum": 2 ** 64 - 1}}
    return number(doc, 2 ** int(attr["type"][1:]) - 1)


def entry(spec, op, leave_out=(), **more):
    """An object whose keys are those of an answer."""
    keys = {a["name"]: value(spec, a) for a in spec.answer(op)
            if a["name"] not in leave_out}
    return {"type": "object", "required": list(keys), "properties": {**keys, **more}}


def array(doc, items):
    return {"type": "array", "description": doc,
            "items": {**items, "additionalProperties": False}}


def whole(title, body, when="Only with -t: now"):
    time = {"type": "integer", "minimum": 0,
            "description": f"{when}, in milliseconds since 1970-01-01 UTC."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "$comment": "Made from Documentation/netlink/specs/cfph.yaml. Keys may be "
                        "added, never removed, and never change their type; a name that "
                        "fpctl does not know yet is the decimal number as a string. "
                        "What is required is what a kernel as new as fpctl tells.",
            **body, "properties": {"time-ms": time, **body["properties"]}}


def listed(key, doc, items):
    return {"type": "object", "required": [key], "properties": {key: array(doc, items)}}


def schemas(spec):
    """{name: schema}"""
    stats = entry(spec, "stats-get")
    rates = {name: {"type": "number", "minimum": 0}
             for name in stats["required"] if not name.endswith("-ns")}
    stats["properties"]["elapsed-ms"] = number(
        "With --watch, from the second time on: since the time before.", 2 ** 64 - 1)
    stats["properties"]["rates"] = {
        "type": "object", "additionalProperties": False, "properties": rates,
        "description": "The same: what was added, per second."}
    stats["dependentRequired"] = {"rates": ["elapsed-ms"], "elapsed-ms": ["rates"]}
    leaf = entry(spec, "map-get", ["node"])
    node = entry(spec, "map-get", ["start-pfn"],
                 **{"fragmentation-percent": number(
                     "Part of the free pages that is in blocks smaller than 2 MiB.", 100),
                    "leaves": array("What the sums are of, by address.", leaf)})
    node["required"] += ["fragmentation-percent", "leaves"]
    event = entry(spec, "event-ntf")
    event["properties"]["event"]["examples"].insert(0, "now")
    event["required"] = ["event"]
    return {
        "show": whole("fpctl -j show", entry(spec, "get")),
        "stats": whole("fpctl -j stats", stats),
        "zone": whole("fpctl -j stats zone",
                      listed("zones", "The populated zones.", entry(spec, "zone-get"))),
        "map": whole("fpctl -j map",
                     listed("nodes", "The NUMA nodes, by number: sums, and the longest "
                            "run, of their leaves.", node)),
        "monitor": whole("fpctl -j monitor, one object for each event", event,
                         "Only with -t: when it happened"),
        "reclaim": whole("fpctl -j reclaim", entry(spec, "reclaim")),
    }


def main():
    spec, directory = Spec(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])
    for name in "generated", "schema":
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "generated/fpc_table.c").write_text("\n".join(table(spec)) + "\n")
    for name, schema in schemas(spec).items():
        (directory / "schema" / f"{name}.json").write_text(
            json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()

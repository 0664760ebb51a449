#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes C structs and field tables out of kafka_messages.txt.

    kafka_gen.py kafka_messages.txt OUT.h OUT.c

The tables are walked by kafka_codec.c; there is no generated code to read or write messages.
"""
import re
import sys

C_TYPES = {
    "bool": "bool", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t",
    "uuid": "struct leat_topic_id", "string": "struct leat_view", "bytes": "struct leat_view",
    "records": "struct leat_kafka_records",
}


class Struct:
    def __init__(self, name):
        self.name = name
        self.fields = []


class Field:
    def __init__(self, line, where):
        m = re.fullmatch(r"(\w+) (\[\]|\{\})?(\w+)((?: \d+(?:-\d+)?)?)((?: null \d+)?)((?: tag \d+)?)((?: = -?\d+)?)", line)
        if not m:
            sys.exit(f"{where}: cannot read '{line}'")
        self.name, shape, self.type, versions, null, tag, default = m.groups()
        self.array, self.one = shape == "[]", shape == "{}"
        low, _, high = versions.strip().partition("-")
        self.low, self.high = int(low or 0), int(high or 127)
        self.null = int(null.split()[1]) if null else 127
        self.tag = int(tag.split()[1]) if tag else -1
        self.default = default.split()[1] if default else "0"
        self.struct = None if self.type in C_TYPES else Struct(self.type)


def parse(path):
    apis, structs, stack = [], [], []
    for number, text in enumerate(open(path, encoding="utf-8"), 1):
        text = text.split("#")[0].rstrip()
        if not text:
            continue
        depth, line = len(text) - len(text.lstrip()), text.strip()
        where = f"{path}:{number}"
        if depth == 0 and line.startswith("api "):
            m = re.fullmatch(r"api (\w+) (\d+) (\d+)-(\d+) flexible (\d+)", line)
            if not m:
                sys.exit(f"{where}: cannot read '{line}'")
            apis.append(m.groups())
        elif depth == 0:
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", apis[-1][0]).lower()
            stack = [Struct(f"{name}_{line}")]
            structs.append(stack[0])
        else:
            field = Field(line, where)
            del stack[depth // 2:]
            stack[-1].fields.append(field)
            if field.struct:
                stack.append(field.struct)
                structs.append(field.struct)
    names = [s.name for s in structs]
    for name in names:
        if names.count(name) > 1:
            sys.exit(f"{path}: struct {name} is there twice")
    return apis, structs


def members(field):
    ctype = C_TYPES.get(field.type, f"struct leat_kafka_{field.type}")
    if field.array:
        return f"        {ctype} *{field.name};\n        int32_t {field.name}_count;\n"
    if field.one:
        return f"        {ctype} *{field.name}; /* NULL: not there */\n"
    return f"        {ctype} {field.name};\n"


def header(apis, structs):
    out = ["/* Made by kafka_gen.py from kafka_messages.txt: do not edit. */\n#ifndef LEAT_KAFKA_MESSAGES_H\n"
           "#define LEAT_KAFKA_MESSAGES_H\n\n/* An array's count is -1 when it is null. */\n"]
    out.append("enum leat_kafka_api_key {\n")
    for name, key, _, _, _ in apis:
        upper = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
        out.append(f"        LEAT_KAFKA_{upper} = {key},\n")
    out.append("};\n")
    for struct in structs:
        out.append(f"struct leat_kafka_{struct.name};\n")
    for struct in reversed(structs):
        body = "".join(members(f) for f in struct.fields)
        out.append(f"struct leat_kafka_{struct.name} {{\n{body}}};\n")
        out.append(f"extern const struct leat_kafka_schema leat_kafka_{struct.name}_schema;\n")
    out.append("#endif\n")
    return "".join(out)


def table(apis, structs):
    out = ['/* Made by kafka_gen.py from kafka_messages.txt: do not edit. */\n#include <stddef.h>\n\n'
           '#include "kafka_int.h"\n\n']
    for struct in reversed(structs):
        cname = f"struct leat_kafka_{struct.name}"
        out.append(f"static const struct leat_kafka_field {struct.name}_fields[] = {{\n")
        for f in struct.fields:
            kind = "STRUCT" if f.struct else f.type.upper()
            count = f"offsetof({cname}, {f.name}_count)" if f.array else "0"
            sub = f"&leat_kafka_{f.type}_schema" if f.struct else "NULL"
            out.append(f"        {{\"{f.name}\", LEAT_KAFKA_T_{kind}, {str(f.array).lower()}, {f.low}, {f.high}, {f.null}, "
                       f"{f.tag}, offsetof({cname}, {f.name}), {count}, {f.default}, {sub}}},\n")
        out.append(f"}};\nconst struct leat_kafka_schema leat_kafka_{struct.name}_schema = {{\"{struct.name}\", "
                   f"sizeof({cname}), {len(struct.fields)}, {struct.name}_fields}};\n")
    out.append("const struct leat_kafka_api leat_kafka_apis[] = {\n")
    for name, key, low, high, flexible in apis:
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        out.append(f"        {{{key}, {low}, {high}, {flexible}, \"{name}\", &leat_kafka_{snake}_request_schema, "
                   f"&leat_kafka_{snake}_response_schema}},\n")
    out.append(f"}};\nconst size_t leat_kafka_api_count = {len(apis)};\n")
    return "".join(out)


def main():
    apis, structs = parse(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(header(apis, structs))
    with open(sys.argv[3], "w", encoding="utf-8") as out:
        out.write(table(apis, structs))


if __name__ == "__main__":
    main()

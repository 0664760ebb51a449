#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# tools/embed.py OUT.c DEPFILE SYMBOL PREFIX=FOLDER...: writes the files of the folders as tables for
# leat/http.h, <SYMBOL>s[] and <SYMBOL>_count, each file also compressed when that makes it smaller. The same files
# give the same bytes.
# The depfile names the folders, too, so that a new file is seen. A folder that does not exist is left out.
import gzip
import hashlib
import os
import sys

TYPES = {
    '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8',
    '.mjs': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml',
    '.json': 'application/json', '.png': 'image/png', '.ico': 'image/x-icon', '.woff2': 'font/woff2',
    '.txt': 'text/plain; charset=utf-8', '.webmanifest': 'application/manifest+json',
}


def find(mapping):
    """Yields (path on the server, file) and collects what the output depends on."""
    prefix, folder = mapping.split('=', 1)
    for root, dirs, names in os.walk(folder):
        dirs[:] = sorted(d for d in dirs if not d.startswith('.'))
        depends.append(root)
        for name in sorted(names):
            extension = os.path.splitext(name)[1]
            if name.startswith('.') or extension not in TYPES:
                continue
            file = os.path.join(root, name)
            yield prefix.rstrip('/') + '/' + os.path.relpath(file, folder), file


def array(name, data):
    rows = [','.join(map(str, data[i:i + 40])) for i in range(0, len(data), 40)]
    return f'static const uint8_t {name}[] = {{\n' + ',\n'.join(rows) + '};\n'


out, depfile, symbol = sys.argv[1:4]
depends = [os.path.abspath(__file__)]
arrays, entries = [], []
for mapping in sys.argv[4:]:
    for path, file in find(mapping):
        depends.append(file)
        with open(file, 'rb') as source:
            data = source.read()
        packed = gzip.compress(data, 9, mtime=0)
        number = len(entries)
        etag = 'W/\\"' + hashlib.sha256(data).hexdigest()[:16] + '\\"'
        arrays.append(array(f'data_{number}', data or b'\n'))
        zipped = '{0}'
        if len(packed) < len(data) * 0.9:
            arrays.append(array(f'gzip_{number}', packed))
            zipped = f'{{gzip_{number}, {len(packed)}}}'
        entries.append(f'        {{"{path}", "{TYPES[os.path.splitext(file)[1]]}", "{etag}", '
                       f'{{data_{number}, {len(data)}}}, {zipped}}},\n')

with open(out, 'w') as target:
    target.write('/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by tools/embed.py. */\n#include "leat/http.h"\n\n')
    target.write(f'extern const struct leat_http_file {symbol}s[];\nextern const int {symbol}_count;\n\n')
    target.writelines(arrays)
    target.write(f'\nconst struct leat_http_file {symbol}s[] = {{\n' + ''.join(entries) + '        {0},\n};\n')
    target.write(f'const int {symbol}_count = {len(entries)};\n')
with open(depfile, 'w') as target:
    target.write(out.replace(' ', '\\ ') + ': ' + ' '.join(d.replace(' ', '\\ ') for d in depends) + '\n')

"""Proves the order of the core's rooms, which is that of the arguments (from core/CMakeLists.txt):
each knows only those before it.

    check_rooms.py CORE ROOM=LIBRARY…

Two witnesses, as each misses something: the sources' includes (a type, a macro) and the objects'
symbols (a function that was declared by hand). The same objects show that within a room no two
files call each other.
"""

import collections
import pathlib
import re
import subprocess
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


def includes(file):
    return INCLUDE.findall(file.read_text())


def sources(folder):
    return sorted(file for file in folder.rglob("*") if file.suffix in (".c", ".h"))


def wrong_includes(core, order):
    """What a source includes of a room that is not before its own. Public headers, which
    everybody includes, know no room."""
    rank = {room: place for place, room in enumerate(order)}
    rank["include"] = -1
    for room in rank:
        for file in sources(core / room):
            for included in includes(file):
                other = included.split("/")[0]
                if other != room and rank.get(other, -1) > rank[room]:
                    yield f"{file.relative_to(core)} includes {included}: {other} comes after {room}"


def symbols(library):
    """{object: (defined, needed)} of the names that other objects can see, or want to."""
    out = subprocess.run(["nm", library], check=True, text=True, capture_output=True).stdout
    objects = {}
    for line in out.splitlines():
        if line.endswith(":"):
            defined, needed = objects[line[:-1]] = set(), set()
        elif line:
            kind, name = line.split()[-2:]
            if kind == "U":
                needed.add(name)
            elif kind.isupper():
                defined.add(name)
    return objects


def calls(core, libraries):
    """{(room, object): {the (room, object) whose symbol it needs: that symbol}}"""
    # A library may have an object of another room (context/symbol.c); generated sources have none.
    seen = {(room, file): names for room, library in libraries.items() for file, names in symbols(library).items()
            if (core / room / file.removesuffix(".o")).exists()}
    home = {name: place for place, (defined, _) in seen.items() for name in defined}
    edges = collections.defaultdict(dict)
    for place, (_, needed) in seen.items():
        for name in sorted(needed):
            if home.get(name, place) != place:
                edges[place][home[name]] = name
    return edges


def wrong_calls(edges, order):
    for (room, file), others in edges.items():
        for (other, _), name in others.items():
            if order.index(other) > order.index(room):
                yield f"{room}/{file} needs {name}: {other} comes after {room}"


def circle(edges):
    """The files of one circle of calls, if there is one."""
    done = set()

    def visit(file, way):
        if file in way:
            return way[way.index(file):]
        if file in done:
            return None
        for other in edges.get(file, {}):
            found = visit(other, way + [file])
            if found:
                return found
        done.add(file)
        return None

    for file in list(edges):
        found = visit(file, [])
        if found:
            return found
    return None


def main():
    core = pathlib.Path(sys.argv[1])
    libraries = dict(argument.split("=", 1) for argument in sys.argv[2:])
    order = list(libraries)
    folders = {file.parent.name for file in core.glob("*/CMakeLists.txt")}
    wrong = [f"{room} is not in the list of rooms" for room in sorted(folders - set(order))]
    wrong += wrong_includes(core, order)
    edges = calls(core, libraries)
    wrong += wrong_calls(edges, order)
    around = circle(edges)
    if around:
        steps = zip(around, around[1:] + around[:1])
        wrong.append("a circle: " + ", ".join(f"{'/'.join(a)} needs {edges[a][b]}" for a, b in steps))
    print("\n".join(wrong) or f"{len(order)} rooms, {len(edges)} objects that need others: in order")
    return 1 if wrong or not edges else 0


if __name__ == "__main__":
    sys.exit(main())

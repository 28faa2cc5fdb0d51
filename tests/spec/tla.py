#!/usr/bin/python3
"""Reads the TLA+ that spec/ is written in, and counts states breadth first. It is not TLC: a second pair of eyes where
no TLC is at hand, made for the part of the language that spec/ uses, and it refuses what it does not know.

As in TLC, an action is read from left to right; the first `x' = e` of a variable sets it, later ones are tests; a
conjunct that needs a variable that is not set yet is an error. A function over 1..n is a sequence.

Usage: tla.py MODULE.tla CONFIG.cfg
"""
import operator
import pathlib
import re
import sys

STATES_MAX = 2500000  # two kilobytes each

TOKEN = re.compile(r'''
    (?P<space>\s+) | (?P<line>\\\*[^\n]*) | (?P<number>\d+) | (?P<string>"[^"]*") | (?P<name>[A-Za-z][A-Za-z0-9_]*)
  | (?P<op><<|>>|\|->|->|<=>|=>|==|<=|>=|\.\.|/\\|\\/|\]_|\\(?:in|notin|subseteq|cup|cap|A|E|o)\b|\\|[-+%=\#<>()\[\]{},:.!@'~])
''', re.X)
INFIX = {"=>": (1, 1), "<=>": (2, 2), "\\/": (3, 3), "/\\": (4, 4), "=": (6, 6), "#": (6, 6), "<": (6, 6), ">": (6, 6),
         "<=": (6, 6), ">=": (6, 6), "\\in": (6, 6), "\\notin": (6, 6), "\\subseteq": (6, 6), "\\": (8, 8), "\\cup": (8, 8),
         "\\cap": (8, 8), "..": (9, 9), "+": (10, 10), "-": (11, 11), "%": (12, 12), "\\o": (13, 13)}
KEYWORDS = {"IF", "THEN", "ELSE", "LET", "IN", "CHOOSE", "UNCHANGED", "EXCEPT", "TRUE", "FALSE", "EXTENDS", "CONSTANTS", "VARIABLES"}


class Bad(Exception):
    pass


class Fn:
    """A function whose domain is not 1..n; records are functions of strings."""
    __slots__ = ("of", "hash")

    def __init__(self, of):
        self.of = of
        self.hash = hash(frozenset(of.items()))

    def __hash__(self):
        return self.hash

    def __eq__(self, other):
        return isinstance(other, Fn) and self.of == other.of


def function(pairs):
    if set(pairs) == set(range(1, len(pairs) + 1)):
        return tuple(pairs[i] for i in range(1, len(pairs) + 1))
    return Fn(pairs)


def apply(f, x):
    if isinstance(f, tuple):
        if not isinstance(x, int) or not 1 <= x <= len(f):
            raise Bad(f"{x} is not in the domain of a sequence of {len(f)}")
        return f[x - 1]
    if not isinstance(f, Fn) or x not in f.of:
        raise Bad(f"{x} is not in a function's domain")
    return f.of[x]


def domain(f):
    return range(1, len(f) + 1) if isinstance(f, tuple) else f.of.keys()


def same(a, b):
    """Values of different kinds are not compared: TLC would stop there."""
    kinds = [bool if isinstance(v, bool) else int if isinstance(v, int) else str if isinstance(v, str)
             else frozenset if isinstance(v, frozenset) else Fn for v in (a, b)]
    if kinds[0] is not kinds[1]:
        raise Bad(f"{a} and {b} are of different kinds")
    return a == b


# ---- reading ----

class Reader:
    def __init__(self, text):
        text = re.sub(r"\(\*.*?\*\)", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)
        self.tokens = []
        self.at = 0
        self.limits = [0]      # a token at or left of the last one ends what is being read
        line, start, at = 1, 0, 0
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise Bad(f"line {line}: {text[at:at + 20]!r} is not known here")
            if found.lastgroup not in ("space", "line"):
                self.tokens.append((found.lastgroup, found.group(), line, at - start))
            line += found.group().count("\n")
            if "\n" in found.group():
                start = at + found.group().rindex("\n") + 1
            at = found.end()
        self.tokens.append(("end", "", line, 0))

    def peek(self, ahead=0):
        token = self.tokens[min(self.at + ahead, len(self.tokens) - 1)]
        return "" if token[3] <= self.limits[-1] else token[1]

    def kind(self):
        return self.tokens[self.at][0]

    def take(self, *wanted):
        value = self.peek()
        if (wanted and value not in wanted) or value == "":
            raise Bad(f"line {self.tokens[self.at][2]}: {self.tokens[self.at][1]!r} where {' or '.join(wanted) or 'more'} was expected")
        self.at += 1
        return value

    def name(self):
        if self.kind() != "name" or self.peek() in KEYWORDS:
            raise Bad(f"line {self.tokens[self.at][2]}: {self.peek()!r} is no name")
        return self.take()

    def names(self):
        names = [self.name()]
        while self.peek() == ",":
            self.take()
            names.append(self.name())
        return names

    def list(self, end):
        items = []
        while self.peek() != end:
            items.append(self.expr())
            if self.peek() != end:
                self.take(",")
        self.take(end)
        return items

    def bullets(self):
        op, column = self.peek(), self.tokens[self.at][3]
        items = []
        while self.tokens[self.at][1] == op and self.tokens[self.at][3] == column and column > self.limits[-1]:
            self.at += 1
            self.limits.append(column)
            items.append(self.expr())
            self.limits.pop()
        return ("and" if op == "/\\" else "or", items)

    def expr(self, least=0):
        left = self.bullets() if self.peek() in ("/\\", "\\/") else self.prefix()
        while self.peek() in INFIX and INFIX[self.peek()][0] >= least:
            op = self.take()
            right = self.expr(INFIX[op][1] + (op != "=>"))
            left = ("and" if op == "/\\" else "or", [left, right]) if op in ("/\\", "\\/") else ("op", op, left, right)
        return left

    def prefix(self):
        if self.peek() == "~":
            self.take()
            return ("not", self.expr(5))
        if self.peek() == "UNCHANGED":
            self.take()
            return ("unchanged", self.expr(5))
        return self.postfix(self.primary())

    def postfix(self, e):
        while self.peek() in ("'", "[", "."):
            op = self.take()
            if op == "'":
                e = ("prime", e)
            elif op == ".":
                e = ("apply", e, ("value", self.name()))
            else:
                e = ("apply", e, self.expr())
                self.take("]")
        return e

    def binders(self):
        binders = []
        while True:
            names = self.names()
            self.take("\\in")
            over = self.expr(7)
            binders += [(n, over) for n in names]
            if self.peek() != ",":
                return binders
            self.take()

    def primary(self):
        kind, word = self.kind(), self.take()
        if kind == "number":
            return ("value", int(word))
        if kind == "string":
            return ("value", word[1:-1])
        if word in ("TRUE", "FALSE"):
            return ("value", word == "TRUE")
        if word == "(":
            limits, self.limits = self.limits, self.limits + [self.limits[-1]]
            e = self.expr()
            self.limits = limits
            self.take(")")
            return e
        if word == "<<":
            return ("tuple", self.list(">>"))
        if word == "{":
            return self.set()
        if word == "[":
            return self.square()
        if word == "@":
            return ("name", "@", [])
        if word == "IF":
            cond = self.expr()
            self.take("THEN")
            yes = self.expr()
            self.take("ELSE")
            return ("if", cond, yes, self.expr())
        if word == "LET":
            defs = []
            while self.peek() != "IN":
                defs.append(self.definition())
            self.take("IN")
            return ("let", defs, self.expr())
        if word in ("\\A", "\\E"):
            binders = self.binders()
            self.take(":")
            return ("all" if word == "\\A" else "some", binders, self.expr())
        if word == "CHOOSE":
            name = self.name()
            self.take("\\in")
            over = self.expr(7)
            self.take(":")
            return ("choose", name, over, self.expr())
        if kind == "name" and word not in KEYWORDS:
            args = []
            if self.peek() == "(":
                self.take()
                args = self.list(")")
            return ("name", word, args)
        raise Bad(f"line {self.tokens[self.at - 1][2]}: {word!r} begins nothing known here")

    def set(self):
        if self.peek() == "}":
            self.take()
            return ("set", [])
        if self.kind() == "name" and self.peek(1) == "\\in":
            start = self.at
            name = self.name()
            self.take()
            over = self.expr(7)
            if self.peek() == ":":
                self.take()
                where = self.expr()
                self.take("}")
                return ("filter", name, over, where)
            self.at = start
        first = self.expr()
        if self.peek() == ":":
            self.take()
            binders = self.binders()
            self.take("}")
            return ("image", first, binders)
        if self.peek() == ",":
            self.take()
            return ("set", [first] + self.list("}"))
        self.take("}")
        return ("set", [first])

    def square(self):
        if self.peek() == "]":
            self.take()
            self.take("[")
            action = self.expr()
            self.take("]_")
            return ("always", action, self.primary())
        if self.kind() == "name" and self.peek(1) == "\\in":
            binders = self.binders()
            self.take("|->")
            body = self.expr()
            self.take("]")
            return ("function", binders, body)
        if self.kind() == "name" and self.peek(1) == "|->":
            fields = []
            while True:
                name = self.name()
                self.take("|->")
                fields.append((name, self.expr()))
                if self.take(",", "]") == "]":
                    return ("record", fields)
        first = self.expr()
        if self.take("EXCEPT", "->") == "->":
            to = self.expr()
            self.take("]")
            return ("functions", first, to)
        changes = []
        while True:
            self.take("!")
            path = []
            while self.peek() in ("[", "."):
                if self.take() == ".":
                    path.append(("value", self.name()))
                else:
                    path.append(self.expr())
                    self.take("]")
            self.take("=")
            changes.append((path, self.expr()))
            if self.take(",", "]") == "]":
                return ("except", first, changes)

    def definition(self):
        name = self.name()
        params = []
        if self.peek() == "(":
            self.take()
            params = self.names()
            self.take(")")
        self.take("==")
        return (name, params, self.expr())


class Module:
    def __init__(self, text):
        found = re.search(r"^-+ MODULE (\w+) -+\n(.*?)^=+\s*$", text, re.S | re.M)
        if not found:
            raise Bad("no module")
        self.name = found.group(1)
        body = re.sub(r"^-{5,}$", "", found.group(2), flags=re.M)
        self.constants, self.variables, self.defs = [], [], {}
        reader = Reader(body)
        reader.limits = [-1]
        while reader.kind() != "end":
            word = reader.peek()
            if word in ("EXTENDS", "CONSTANTS", "VARIABLES"):
                reader.take()
                names = reader.names()
                self.constants += names if word == "CONSTANTS" else []
                self.variables += names if word == "VARIABLES" else []
                unknown = set(names) - {"Naturals", "Sequences", "FiniteSets"} if word == "EXTENDS" else None
                if unknown:
                    raise Bad(f"EXTENDS {unknown}")
                continue
            reader.limits = [-1]
            name = reader.name()
            reader.at -= 1
            start = reader.tokens[reader.at]
            if start[3] != 0:
                raise Bad(f"line {start[2]}: a definition begins at the margin")
            # Its body ends at the next word at the margin.
            params_end = reader.at + 1
            params = []
            if reader.tokens[params_end][1] == "(":
                reader.at += 2
                params = reader.names()
                reader.take(")")
                params_end = reader.at
            reader.at = params_end
            reader.take("==")
            reader.limits = [0]
            if name in self.defs or name in self.variables or name in self.constants:
                raise Bad(f"{name} is defined twice")
            self.defs[name] = (params, reader.expr())
            if reader.tokens[reader.at][3] != 0:
                raise Bad(f"line {reader.tokens[reader.at][2]}: {reader.tokens[reader.at][1]!r} belongs to nothing")
            reader.limits = [-1]


# ---- evaluating ----

NUMBERS = {"+": operator.add, "-": operator.sub, "%": operator.mod, "<": operator.lt, ">": operator.gt, "<=": operator.le,
           ">=": operator.ge}
BUILT_IN = {
    "Len": len, "Head": lambda s: s[0], "Tail": lambda s: s[1:], "Append": lambda s, e: s + (e,), "Cardinality": len,
    "SubSeq": lambda s, a, b: s[a - 1:b] if a <= b else (),
}


class Model:
    def __init__(self, module, constants):
        self.module = module
        self.constants = constants
        self.acts = {}

    def is_action(self, e):
        """Does it speak of the next state?"""
        if not isinstance(e, (tuple, list)):
            return False
        if isinstance(e, tuple) and e and e[0] in ("prime", "unchanged"):
            return True
        if isinstance(e, tuple) and len(e) == 3 and e[0] == "name" and e[1] in self.module.defs:
            if e[1] not in self.acts:
                self.acts[e[1]] = False
                self.acts[e[1]] = self.is_action(self.module.defs[e[1]][1])
            if self.acts[e[1]]:
                return True
        return any(self.is_action(part) for part in e)

    def value(self, e, env, now, after):
        """`env`: names bound; a def bound by LET is a list [params, body, env]."""
        kind = e[0]
        if kind == "value":
            return e[1]
        if kind == "name":
            return self.named(e, env, now, after)
        if kind == "and":
            return all(self.truth(part, env, now, after) for part in e[1])
        if kind == "or":
            return any(self.truth(part, env, now, after) for part in e[1])
        if kind == "not":
            return not self.truth(e[1], env, now, after)
        if kind == "op":
            return self.infix(e, env, now, after)
        if kind == "if":
            return self.value(e[2] if self.truth(e[1], env, now, after) else e[3], env, now, after)
        if kind == "apply":
            return apply(self.value(e[1], env, now, after), self.value(e[2], env, now, after))
        if kind == "prime":
            if after is None:
                raise Bad("a prime outside of an action")
            return self.value(e[1], env, after, None)
        if kind == "tuple":
            return tuple(self.value(part, env, now, after) for part in e[1])
        if kind == "set":
            return frozenset(self.value(part, env, now, after) for part in e[1])
        if kind == "record":
            return function({name: self.value(part, env, now, after) for name, part in e[1]})
        if kind == "let":
            return self.value(e[2], self.bound(e[1], env), now, after)
        if kind in ("all", "some"):
            test = all if kind == "all" else any
            return test(self.truth(e[2], inner, now, after) for inner in self.each(e[1], env, now, after))
        if kind == "filter":
            return frozenset(v for v in self.value(e[2], env, now, after) if self.truth(e[3], {**env, e[1]: v}, now, after))
        if kind == "image":
            return frozenset(self.value(e[1], inner, now, after) for inner in self.each(e[2], env, now, after))
        if kind == "function":
            (name, over), = e[1]
            return function({v: self.value(e[2], {**env, name: v}, now, after) for v in self.value(over, env, now, after)})
        if kind == "choose":
            found = [v for v in self.value(e[2], env, now, after) if self.truth(e[3], {**env, e[1]: v}, now, after)]
            if len(found) != 1:
                raise Bad(f"CHOOSE {e[1]}: {len(found)} values would do; one must")
            return found[0]
        if kind == "except":
            return self.changed(e, env, now, after)
        if kind == "unchanged":
            return same(self.value(e[1], env, now, after), self.value(e[1], env, after, None))
        raise Bad(f"{kind} has no value here")

    def truth(self, e, env, now, after):
        value = self.value(e, env, now, after)
        if not isinstance(value, bool):
            raise Bad(f"{value} is neither TRUE nor FALSE")
        return value

    def bound(self, defs, env):
        env = dict(env)
        for name, params, body in defs:
            env[name] = [params, body, dict(env)]
        return env

    def each(self, binders, env, now, after):
        if not binders:
            yield env
            return
        (name, over), rest = binders[0], binders[1:]
        for v in sorted(self.value(over, env, now, after), key=repr):
            yield from self.each(rest, {**env, name: v}, now, after)

    def definition(self, e, env, now, after):
        """Of a name: its body and what is bound in it; None where it is a value."""
        name, args = e[1], e[2]
        found = env.get(name)
        if isinstance(found, list):
            params, body, outer = found
        elif name not in env and name in self.module.defs:
            (params, body), outer = self.module.defs[name], {}
        else:
            return None
        if len(params) != len(args):
            raise Bad(f"{name} takes {len(params)} arguments")
        return body, {**outer, **{p: self.value(a, env, now, after) for p, a in zip(params, args)}}

    def named(self, e, env, now, after):
        name, args = e[1], e[2]
        found = self.definition(e, env, now, after)
        if found:
            return self.value(found[0], found[1], now, after)
        if name in env:
            return env[name]
        if name in self.module.variables:
            if now is None or name not in now:
                raise Bad(f"{name} is not set yet")
            return now[name]
        if name in self.constants:
            return self.constants[name]
        if name in BUILT_IN:
            return BUILT_IN[name](*(self.value(a, env, now, after) for a in args))
        raise Bad(f"{name} is not known")

    def infix(self, e, env, now, after):
        _, op, left, right = e
        if op == "=>":
            return not self.truth(left, env, now, after) or self.truth(right, env, now, after)
        a = self.value(left, env, now, after)
        if op in ("\\in", "\\notin"):
            return self.is_in(a, right, env, now, after) == (op == "\\in")
        b = self.value(right, env, now, after)
        if op in ("=", "<=>"):
            return same(a, b)
        if op == "#":
            return not same(a, b)
        if op == "\\subseteq":
            return a <= b
        if op == "\\o":
            return a + b
        if op in ("\\cup", "\\cap", "\\"):
            return a | b if op == "\\cup" else a & b if op == "\\cap" else a - b
        if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, int) or not isinstance(b, int):
            raise Bad(f"{a} {op} {b}")
        if op == "..":
            return frozenset(range(a, b + 1))
        if op == "-" and a < b:
            raise Bad(f"{a} - {b} is below zero: EXTENDS Naturals")
        return NUMBERS[op](a, b)

    def is_in(self, a, right, env, now, after):
        if right[0] == "functions":
            over = self.value(right[1], env, now, after)
            to = self.value(right[2], env, now, after)
            return set(domain(a)) == set(over) and all(apply(a, x) in to for x in over)
        return a in self.value(right, env, now, after)

    def changed(self, e, env, now, after):
        value = self.value(e[1], env, now, after)
        for path, to in e[2]:
            keys = [self.value(k, env, now, after) for k in path]
            value = self.with_change(value, keys, to, env, now, after)
        return value

    def with_change(self, f, keys, to, env, now, after):
        old = apply(f, keys[0])
        new = (self.with_change(old, keys[1:], to, env, now, after) if keys[1:]
               else self.value(to, {**env, "@": old}, now, after))
        if isinstance(f, tuple):
            return f[:keys[0] - 1] + (new,) + f[keys[0]:]
        return Fn({**f.of, keys[0]: new})

    # ---- actions ----

    def nexts(self, e, env, now, after, is_first):
        """Every way to make `e` true by setting variables of `after` (of the first state where `is_first`)."""
        kind = e[0]
        if kind == "and":
            yield from self.threaded(e[1], env, now, after, is_first)
        elif kind == "or":
            for part in e[1]:
                yield from self.nexts(part, env, now, after, is_first)
        elif kind == "some" and self.is_action(e):
            for inner in self.each(e[1], env, now, after):
                yield from self.nexts(e[2], inner, now, after, is_first)
        elif kind == "if" and self.is_action(e):
            yield from self.nexts(e[2] if self.truth(e[1], env, now, after) else e[3], env, now, after, is_first)
        elif kind == "let" and self.is_action(e):
            yield from self.nexts(e[2], self.bound(e[1], env), now, after, is_first)
        elif kind == "unchanged":
            names = self.variables_of(e[1])
            if any(n in after and after[n] != now[n] for n in names):
                return
            yield {**after, **{n: now[n] for n in names}}
        elif kind == "op" and e[1] == "=" and (e[2][0] == "prime" or is_first):
            target = e[2][1] if e[2][0] == "prime" else e[2]
            value = self.value(e[3], env, after if is_first else now, after)
            if target[0] != "name" or target[1] not in self.module.variables:
                raise Bad(f"{target} is set, and is no variable")
            if target[1] not in after:
                yield {**after, target[1]: value}
            elif same(after[target[1]], value):
                yield after
        elif kind == "name" and (self.is_action(e) or is_first) and self.definition(e, env, now, after):
            body, inner = self.definition(e, env, now, after)
            yield from self.nexts(body, inner, now, after, is_first)
        elif self.truth(e, env, now, after):
            yield after

    def threaded(self, parts, env, now, after, is_first):
        if not parts:
            yield after
            return
        for one in self.nexts(parts[0], env, now, after, is_first):
            yield from self.threaded(parts[1:], env, now, one, is_first)

    def variables_of(self, e):
        if e[0] == "tuple":
            return [n for part in e[1] for n in self.variables_of(part)]
        if e[0] == "name" and e[1] in self.module.variables:
            return [e[1]]
        if e[0] == "name" and e[1] in self.module.defs:
            return self.variables_of(self.module.defs[e[1]][1])
        raise Bad("UNCHANGED of something that is no variable")

    def successors(self, next_name, now):
        found = []
        for after in self.nexts(("name", next_name, []), {}, now, {}, False):
            missing = set(self.module.variables) - set(after)
            if missing:
                raise Bad(f"an action leaves {', '.join(sorted(missing))} unsaid")
            found.append(after)
        return found


def read_config(text):
    text = re.sub(r"\\\*[^\n]*", "", text)
    constants, lists = {}, {}
    where = None
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in ("CONSTANTS", "SPECIFICATION", "INVARIANTS", "PROPERTIES", "CHECK_DEADLOCK"):
            where, words = words[0], words[1:]
            lists.setdefault(where, [])
        if where == "CONSTANTS" and words:
            name, equals, value = " ".join(words).partition("=")
            if not equals:
                raise Bad(f"{line!r} in a configuration")
            constants[name.strip()] = Model(Module("---- MODULE C ----\n====\n"), {}).value(constant(value), {}, {}, None)
        else:
            lists[where] += words
    return constants, lists


def constant(text):
    reader = Reader(text)
    reader.limits = [-1]
    return reader.expr()


def count(module_path, config_path):
    """distinct states, depth in steps, pairs of different states one step apart; Bad where a promise does not hold."""
    module = Module(pathlib.Path(module_path).read_text())
    constants, config = read_config(pathlib.Path(config_path).read_text())
    if set(constants) != set(module.constants):
        raise Bad(f"the configuration sets {sorted(constants)}, the module wants {sorted(module.constants)}")
    model = Model(module, constants)
    spec = module.defs[config["SPECIFICATION"][0]][1]
    (_, init, _), (_, (_, next_name, _), _) = spec[1]
    invariants = config.get("INVARIANTS", [])
    properties = [(name, module.defs[name][1]) for name in config.get("PROPERTIES", [])]
    key = lambda s: tuple(s[v] for v in module.variables)
    first = [s for s in model.nexts(("name", init, []), {}, None, {}, True)]
    seen = {key(s) for s in first}
    level, depth, pairs = first, 0, 0
    for state in first:
        check(model, invariants, state)
    while level:
        following = []
        for state in level:
            mine = {}
            for after in model.successors(next_name, state):
                mine.setdefault(key(after), after)
            pairs += sum(k != key(state) for k in mine)
            for k, after in mine.items():
                for name, (_, action, _) in properties:
                    if k != key(state) and not model.truth(action, {}, state, after):
                        raise Bad(f"{name} does not hold from {state} to {after}")
                if k not in seen:
                    seen.add(k)
                    check(model, invariants, after)
                    following.append(after)
        if len(seen) > STATES_MAX:
            raise Bad(f"more than {STATES_MAX} states")
        depth += bool(following)
        level = following
    return {"states": len(seen), "depth": depth, "steps": pairs}


def check(model, invariants, state):
    for name in invariants:
        if not model.truth(("name", name, []), {}, state, None):
            raise Bad(f"{name} does not hold in {({k: (v.of if isinstance(v, Fn) else v) for k, v in state.items()})}")


if __name__ == "__main__":
    print(count(sys.argv[1], sys.argv[2]))

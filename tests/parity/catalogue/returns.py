"""What plain handlers return: every kind of value, and the reserved keys of a dict."""

from __future__ import annotations

from tests.parity.cases import Handler

SHARED = """
    class Text(str): pass
    class Number(int): pass
    class Mapping(dict): pass
    class Bare:
        def __repr__(self): return "Bare()"
    class Unshowable:
        def __repr__(self): raise RuntimeError("no repr")
    class UnshowableDict(dict):
        def __repr__(self): raise RuntimeError("no repr")
    class Colour(enum.Enum): RED = 1
    class Level(enum.IntEnum): HIGH = 3
    class Mode(str, enum.Enum): FAST = "fast"
    Point = collections.namedtuple("Point", "x y")
    @dataclasses.dataclass
    class Record: number: int = 1
    class Later:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaited"
    async def coroutine(): return "from a coroutine"
    def deep(levels):
        value = []
        for _ in range(levels): value = [value]
        return value
"""

HANDLERS = (
    Handler(
        "returns",
        {
            "text": "return 'x'",
            "empty text": "return ''",
            "null": "return None",
            "nothing": "pass",
            "true": "return True",
            "false": "return False",
            "zero": "return 0",
            "floats": "return [0.1, 1.0, -0.0, 1e-7, 1e22, 123456789.123456789, 5e-324]",
            "list": "return [1, [2, [3]], {'error': 'inside'}]",
            "empty list": "return []",
            "tuple": "return (1, (2, 3))",
            "dict": "return {'b': 1, 'a': [None, 1.5, {'c': 10**20}], 'ß': '☃'}",
            "empty": "return {}",
            "key order": "return {key: number for number, key in enumerate('zyxabc')}",
            "keys": "return {1: 'a', None: 'b', True: 'c', 1.5: 'd', '': 'e'}",
            "twice the same key": "return {1: 'a', '1': 'b'}",
            "subclasses": "return [Text('t'), Number(7), Mapping(a=1), Level.HIGH, Mode.FAST, Point(1, 2)]",
            "collections": """
                return {"ordered": collections.OrderedDict(a=1), "default": collections.defaultdict(list, b=[2]),
                        "counter": collections.Counter("aab")}
            """,
            "dict subclass": "return collections.OrderedDict(error='', b=1, a=2)",
            "coroutine": "return coroutine()",
            "awaitable": "return Later()",
            "future": "return asyncio.ensure_future(coroutine())",
            "the job": "return job",
            "the input": "return job['input']",
            "keys of the job": "return list(job)",
            "huge number": "return 10**400",
            "deep": "return deep(100)",
            "unshowable dict": "return UnshowableDict(a=1)",
        },
        head=SHARED,
    ),
    Handler(
        "odd_returns",
        {
            "set": "return {1, 2}",
            "bytes": "return b'x'",
            "decimal": "return {'price': decimal.Decimal('1.5')}",
            "time": "return {'at': datetime.datetime(2026, 1, 2)}",
            "object": "return Bare()",
            "record": "return Record()",
            "enum": "return Colour.RED",
            "path": "return pathlib.Path('/tmp')",
            "exception": "return ValueError('returned')",
            "class": "return Bare",
            "function": "return len",
            "generator": "return (number for number in range(3))",
            "range": "return range(3)",
            "complex": "return 1j",
            "tuple as key": "return {(1, 2): 3}",
            "bytes as key": "return {b'a': 3}",
            "user dict": "return collections.UserDict(error='e')",
            "unshowable": "return Unshowable()",
            "unshowable inside": "return {'a': Unshowable()}",
        },
        head=SHARED,
    ),
    Handler(
        "hard_returns",
        {
            "nan": "return float('nan')",
            "infinity": "return [float('inf'), float('-inf')]",
            "nan inside": "return {'a': {'b': math.nan}}",
            "more digits than text may have": "return 10**5000",
            "deeper than the interpreter goes": "return deep(3000)",
            "rather deep": "return deep(600)",
            "circular": """
                value = {}
                value["self"] = value
                return value
            """,
            "async generator": """
                async def later():
                    yield 1
                return later()
            """,
            "coroutine of a coroutine": """
                async def outer():
                    return coroutine()
                return outer()
            """,
            "awaitable that raises": """
                async def failing():
                    raise ValueError("awaited")
                return failing()
            """,
            "input as output": "job['input']['extra'] = {1}; return job",
            "lone surrogate": "return {'text': 'a\\ud800b'}",
            "lone surrogate alone": "return '\\udfff'",
            "lone surrogate as key": "return {'\\ud800': 1}",
            "two halves": "return '\\ud83d\\ude00'",
        },
        head=SHARED,
    ),
    Handler(
        "texts",
        {
            "unicode": "return 'ünï ☃ 😀 \\u2028 \\u2029 \\ufeff \\u202e é'",
            "control characters": "return ''.join(map(chr, range(32))) + '\\x7f\\x85'",
            "quotes": "return 'a \"quoted\" \\\\ back\\\\slash / \\n\\r\\t'",
            "json in text": """return '{"error": "inside", "output": 1}'""",
            "html": "return '<script>alert(1)</script> &amp; %20 +'",
            "unicode keys": "return {'☃': 1, '\\x00': 2, '\"': 3}",
            "outside the bmp": "return '\\U0001F600\\U0010FFFF'",
            "five megabytes": "return 'ü' * 2_500_000",
            "five megabytes of numbers": "return {'numbers': list(range(700_000))}",
            "five megabytes in the input": "return len(json.dumps(job['input']))",
        },
    ),
    Handler(
        "oversized",
        {
            "text": "return 'x' * 21_000_000",
            "with an error": "return {'error': 'e', 'text': 'x' * 21_000_000}",
            "after all": "return 'x'",
        },
    ),
)

"""What kernels do many items at a time: vectors that the compiler fits to whatever registers there are.

Loops would do to pack and unpack entries, but the running sum of the gaps, and what to do at the first entry that does
not fit, keep compilers from making vectors of them.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from scformat.pool import ALIGNED

LANES: Final = 32
"""Entries that :func:`pack` takes, and words that :func:`unpack` does."""

_GROUP: Final = 8
"""Lanes of 16 bits within which moving by some lanes is cheapest."""
_SOON: Final = 512
"""Bytes behind what is written now, whose lines are fetched: without that a store waits for its line, and what comes
after it for the store. It takes half as long to unpack rows to memory that is not in the innermost cache."""
_I1, _I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
_FLAGS, _WORDS, _LONGS, _FLOATS = (ir.VectorType(kind, LANES) for kind in (_I1, _I16, _I32, ir.FloatType()))


def _splat(kind: ir.Type, value: int) -> ir.Constant:
    return ir.Constant(kind, [value] * LANES)


def _load(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _WORDS.as_pointer()), align=2)


def _store(builder: Any, vector: Any, address: Any, size: int) -> None:
    builder.store(vector, builder.inttoptr(address, vector.type.as_pointer()), align=size)


def _prefetch(builder: Any, address: Any, *, write: bool = False) -> None:
    """Let the innermost cache have what is read, or written to, soon."""
    kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
    fetch = builder.module.declare_intrinsic("llvm.prefetch", [_I8.as_pointer()], kind)
    ways = (ir.Constant(_I32, way) for way in (int(write), 3, 1))  # to stay in all caches, data
    builder.call(fetch, [builder.inttoptr(address, _I8.as_pointer()), *ways])


def _moved(builder: Any, vector: Any, source: Any) -> Any:
    """Move lanes; ``source(i)`` is the lane that comes to i, None for zero."""
    lanes = [LANES if source(i) is None else source(i) for i in range(LANES)]
    return builder.shuffle_vector(vector, _splat(vector.type, 0), ir.Constant(ir.VectorType(_I32, LANES), lanes))


def _running_sum(builder: Any, vector: Any) -> Any:
    """Sum 16-bit lanes up to each, first within groups, then over them."""
    step = 1
    while step < LANES:
        if step < _GROUP:
            moved = _moved(builder, vector, lambda i, s=step: i - s if i % _GROUP >= s else None)
        else:
            moved = _moved(builder, vector, lambda i, s=step: i // s * s - 1 if i // s % 2 else None)
        vector = builder.add(vector, moved)
        step *= 2
    return vector


def _leading(builder: Any, flags: Any, limit: Any) -> Any:
    """Count the lanes below `limit` that are set before the first one that is not; an int64."""
    bits = builder.zext(builder.bitcast(flags, ir.IntType(LANES)), _I64)
    stop = builder.shl(ir.Constant(_I64, 1), limit)  # a lane that ends the count, set or not
    return builder.cttz(builder.or_(builder.not_(bits), stop), ir.Constant(_I1, 1))


def _pack(typing_context: Any, deltas: Any, counts: Any, out: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_deltas, of_counts, to_words, most = args
        delta, count = _load(builder, of_deltas), _load(builder, of_counts)
        one, largest = _splat(_WORDS, 1), _splat(_WORDS, 255)
        fits = [builder.icmp_unsigned("<", builder.sub(each, one), largest) for each in (delta, count)]
        _store(builder, builder.or_(delta, builder.shl(count, _splat(_WORDS, 8))), to_words, 2)
        n = _leading(builder, builder.and_(*fits), most)
        ones = builder.sub(builder.shl(ir.Constant(_I64, 1), n), ir.Constant(_I64, 1))
        counted = builder.bitcast(builder.trunc(ones, ir.IntType(LANES)), _FLAGS)
        gaps = builder.select(counted, delta, _splat(_WORDS, 0))
        lanes = LANES
        while lanes > 1:
            lanes //= 2
            halves = [
                builder.shuffle_vector(
                    gaps, gaps, ir.Constant(ir.VectorType(_I32, lanes), list(range(first, first + lanes)))
                )
                for first in (0, lanes)
            ]
            gaps = builder.add(*halves)
        sum_ = builder.zext(builder.extract_element(gaps, ir.Constant(_I32, 0)), _I64)
        return builder.or_(n, builder.shl(sum_, ir.Constant(_I64, 8)))

    return types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), generate


def _unpack(typing_context: Any, words: Any, genes: Any, values: Any, gene: Any, limit: Any, coming: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, to_genes, to_values, before, most, ahead = args
        entry = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("unpack", "unpacked"))
        first = builder.insert_element(ir.Constant(_LONGS, ir.Undefined), before, ir.Constant(_I32, 0))
        first = builder.shuffle_vector(first, ir.Constant(_LONGS, ir.Undefined), _splat(_LONGS, 0))
        builder.branch(loop)
        builder.position_at_end(loop)
        at, start = builder.phi(_I64), builder.phi(_LONGS)
        at.add_incoming(ir.Constant(_I64, 0), entry)
        start.add_incoming(first, entry)
        twice, fourfold = (builder.shl(at, ir.Constant(_I64, bits)) for bits in (1, 2))
        _prefetch(builder, builder.add(ahead, twice))
        for to in (to_genes, to_values):
            for line in range(0, 4 * LANES, ALIGNED):
                _prefetch(builder, builder.add(builder.add(to, fourfold), ir.Constant(_I64, _SOON + line)), write=True)
        word = _load(builder, builder.add(source, twice))
        count = builder.lshr(word, _splat(_WORDS, 8))
        short = builder.icmp_unsigned("!=", count, _splat(_WORDS, 0))
        sums = builder.zext(_running_sum(builder, builder.and_(word, _splat(_WORDS, 255))), _LONGS)
        found = builder.add(sums, start)
        _store(builder, found, builder.add(to_genes, fourfold), 4)
        _store(builder, builder.sitofp(builder.zext(count, _LONGS), _FLOATS), builder.add(to_values, fourfold), 4)
        last = builder.shuffle_vector(found, found, _splat(_LONGS, LANES - 1))
        following, left = builder.add(at, ir.Constant(_I64, LANES)), builder.sub(most, at)
        at.add_incoming(following, loop)
        start.add_incoming(last, loop)
        whole = builder.icmp_signed("==", builder.bitcast(short, ir.IntType(LANES)), ir.Constant(_I32, -1))
        more = builder.icmp_signed(">", left, ir.Constant(_I64, LANES))
        builder.cbranch(builder.and_(whole, more), loop, after)
        builder.position_at_end(after)
        lanes = builder.select(more, ir.Constant(_I64, LANES), left)
        return builder.add(at, _leading(builder, short, lanes))

    kinds = (types.uint64, types.uint64, types.uint64, types.int32, types.uint64, types.uint64)
    return types.uint64(*kinds), generate


def _store_past(typing_context: Any, source: Any, target: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start, to, n_bytes = args
        line = ir.VectorType(_I8, ALIGNED)
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("past", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        at = builder.phi(_I64)
        at.add_incoming(ir.Constant(_I64, 0), before)
        some = builder.load(builder.inttoptr(builder.add(start, at), line.as_pointer()), align=ALIGNED)
        stored = builder.store(some, builder.inttoptr(builder.add(to, at), line.as_pointer()), align=ALIGNED)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))
        following = builder.add(at, ir.Constant(_I64, ALIGNED))
        at.add_incoming(following, loop)
        builder.cbranch(builder.icmp_unsigned("<", following, n_bytes), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64), generate


def _fence(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


store_past: Any = intrinsic(_store_past)
"""``store_past(source, target, size)``: copies `size` bytes, a multiple of :data:`scformat.pool.ALIGNED` above 0,
between addresses that are so aligned, with stores that no cache keeps. :data:`ordered` comes after the last of them."""

ordered: Any = intrinsic(_fence)
"""``ordered()``: puts what :data:`store_past` stored before whatever tells others of it."""

pack: Any = intrinsic(_pack)
"""``pack(deltas, counts, out, limit)``: addresses of 32 deltas and 32 counts, and of room for 32 packed words. The low
byte of the result is how many of the first `limit` (32 at most) entries can be packed in a word each, up to the first
that cannot; above it stands the sum of their deltas. All 32 words are written, those behind of no use."""

unpack: Any = intrinsic(_unpack)
"""``unpack(words, genes, values, gene, limit, coming)``: addresses of `limit` packed words (1 or more) and of room for
as many int32 and float32, the gene before them, and the address of as many words that are read soon. The result is how
many of them are a gene by themselves, up to the first that is not. Words are read, and genes and values written, 32 at
a time: those behind are of no use."""

"""Sixteen packed words unpacked at once: vectors that the compiler fits to whatever registers the processor has.

A loop would do, but the running sum of the gaps keeps compilers from making vectors of it.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES: Final = 16
"""Words that :func:`unpack` takes."""

_I16, _I32, _I64 = (ir.IntType(bits) for bits in (16, 32, 64))
_WORDS, _LONGS, _FLOATS = (ir.VectorType(kind, LANES) for kind in (_I16, _I32, ir.FloatType()))


def _splat(kind: ir.Type, value: int) -> ir.Constant:
    return ir.Constant(kind, [value] * LANES)


def _unpack(typing_context: Any, words: Any, genes: Any, values: Any, gene: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, to_genes, to_values, before = args
        word = builder.load(builder.inttoptr(source, _WORDS.as_pointer()), align=2)
        count = builder.lshr(word, _splat(_WORDS, 8))
        single = builder.icmp_unsigned("!=", count, _splat(_WORDS, 0))
        total = builder.zext(builder.and_(word, _splat(_WORDS, 255)), _LONGS)
        nothing = _splat(_LONGS, 0)
        for step in (1, 2, 4, 8):  # after each, a lane has the sum of twice as many gaps
            lanes = [LANES + i if i < step else i - step for i in range(LANES)]
            mask = ir.Constant(ir.VectorType(_I32, LANES), lanes)
            total = builder.add(total, builder.shuffle_vector(total, nothing, mask))
        start = builder.insert_element(ir.Constant(_LONGS, ir.Undefined), before, ir.Constant(_I32, 0))
        start = builder.shuffle_vector(start, ir.Constant(_LONGS, ir.Undefined), _splat(_LONGS, 0))
        builder.store(builder.add(total, start), builder.inttoptr(to_genes, _LONGS.as_pointer()), align=4)
        floats = builder.uitofp(builder.zext(count, _LONGS), _FLOATS)
        builder.store(floats, builder.inttoptr(to_values, _FLOATS.as_pointer()), align=4)
        flags = builder.zext(builder.bitcast(single, _I16), _I64)
        last = builder.zext(builder.extract_element(total, ir.Constant(_I32, LANES - 1)), _I64)
        return builder.or_(flags, builder.shl(last, ir.Constant(_I64, LANES)))

    return types.uint64(types.uint64, types.uint64, types.uint64, types.int32), generate


unpack: Any = intrinsic(_unpack)
"""``unpack(words, genes, values, gene)``: addresses of 16 packed words and of 16 int32 and 16 float32 out, and the gene
before them. The result has a bit for each word that is a gene by itself, and above those 16 the sum of all gaps. Genes
and values are right up to the first word that is not."""

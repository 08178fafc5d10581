"""One way to compile a hot kernel: serial, without the GIL, cached outside of the source tree."""

import hashlib
import os
from pathlib import Path

import numba
from llvmlite import ir
from numba.core import config, types
from numba.extending import intrinsic

CALLED = (
    "jit.py",
    "projection.py",
    "spectra.py",
)  # numba overlooks a change of what another file's kernel calls

if "NUMBA_CACHE_DIR" not in os.environ:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    called = b"".join((Path(__file__).parent / name).read_bytes() for name in CALLED)
    folder = Path(home) / "parfocal" / "numba" / hashlib.sha256(called).hexdigest()[:12]
    config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]

kernel = numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
exact = numba.njit(nogil=True, cache=True, error_model="numpy")  # for what must round as written
inlined = numba.njit(nogil=True, fastmath=True, inline="always", error_model="numpy")

BYTES = ir.IntType(8).as_pointer()
FLOAT4 = ir.VectorType(ir.FloatType(), 4)


@intrinsic
def blend_rows(typingctx, data, offsets, weights, right):
    """Bilinear blend of four rows, then linear blend of two neighbouring complex numbers.

    `data` is a flat float32 array of (real, imaginary) pairs. At each of four `offsets` (int64
    tuple) one 16-byte load fetches a pair and its right neighbour; they are summed with `weights`
    (float32 tuple), and the two complex numbers blended with weight `right`. Written as vectors
    because the compiler, left alone, spreads eight pixels over registers and spills them: 3x slower.
    """
    pair = types.UniTuple(types.float32, 2)
    signature = pair(data, offsets, weights, right)

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        total = None
        for n in range(4):
            pointer = builder.gep(array.data, [builder.extract_value(args[1], n)])
            row = builder.load(builder.bitcast(pointer, FLOAT4.as_pointer()), align=4)
            term = builder.fmul(row, _spread(builder, builder.extract_value(args[2], n)), ("fast",))
            total = term if total is None else builder.fadd(total, term, ("fast",))
        upper = builder.shuffle_vector(total, ir.Constant(FLOAT4, ir.Undefined), _lanes(2, 3, 2, 3))
        step = builder.fsub(upper, total, ("fast",))
        blended = builder.fadd(
            total, builder.fmul(step, _spread(builder, args[3]), ("fast",)), ("fast",)
        )
        lanes = [builder.extract_element(blended, ir.Constant(ir.IntType(32), n)) for n in (0, 1)]
        return context.make_tuple(builder, signature.return_type, lanes)

    return signature, codegen


@intrinsic
def prefetch(typingctx, data, offset):
    """Ask for the cache line of `data` (flat float32) that holds `offset`, and go on."""
    signature = types.void(data, types.int64)

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(array.data, [args[1]]), BYTES)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [BYTES, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [BYTES], kind)
        builder.call(function, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return signature, codegen


def _lanes(*index):
    return ir.Constant(ir.VectorType(ir.IntType(32), len(index)), list(index))


def _spread(builder, scalar):
    """The same float in all four lanes."""
    zero = ir.Constant(ir.IntType(32), 0)
    single = builder.insert_element(ir.Constant(FLOAT4, ir.Undefined), scalar, zero)
    return builder.shuffle_vector(single, ir.Constant(FLOAT4, ir.Undefined), _lanes(0, 0, 0, 0))

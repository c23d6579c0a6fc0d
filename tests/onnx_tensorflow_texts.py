"""Small graphs in ONNX's text form: control flow, shape arithmetic, functions. Needs numpy only."""

from __future__ import annotations

HEADER = '<ir_version: 10, opset_import: ["" : 17]>'
# name -> graph; named axes are dynamic, and the requests are made as for single operators
TEXTS: dict[str, str] = {
    "If whose branches see the names around them": """
        g (float[n,3] x, bool flag) => (float[n,3] y) {
            twice = Add(x, x)
            y = If (flag) <
                then_branch = a () => (float[n,3] u) { u = Add(twice, x) },
                else_branch = b () => (float[n,3] v) { v = Neg(twice) }
            >
        }""",
    "If whose branches differ in shape": """
        g (float[n,3] x, bool flag) => (float[r,3] y) {
            y = If (flag) <
                then_branch = a () => (float[r,3] u) { u = Concat<axis=0>(x, x) },
                else_branch = b () => (float[r,3] v) { v = Identity(x) }
            >
        }""",
    "Loop that counts, with a captured name and a stacked output": """
        g (float[n,3] x, int64 k) => (float[n,3] y, float[r,n,3] all) {
            start = Mul(x, x)
            y, all = Loop (k, , start) <
                body = round (int64 i, bool going, float[n,3] s) => (bool goes, float[n,3] t, float[n,3] out) {
                    goes = Identity(going)
                    t = Add(s, x)
                    out = Neg(t)
                }
            >
        }""",
    "Loop that ends by its condition": """
        g (float x) => (float y, int64[r] all) {
            yes = Constant<value = bool {1}>()
            limit = Constant<value = float {20}>()
            square = Mul(x, x)
            one = Constant<value = float {1}>()
            start = Add(square, one)
            y, all = Loop ( , yes, start) <
                body = round (int64 i, bool going, float s) => (bool goes, float t, int64 out) {
                    t = Add(s, s)
                    goes = Less(t, limit)
                    out = Identity(i)
                }
            >
        }""",
    "Loop whose state grows": """
        g (float[n,3] x, int64 k) => (float[r,3] y) {
            y = Loop (k, , x) <
                body = round (int64 i, bool going, float[s,3] s) => (bool goes, float[t,3] t) {
                    goes = Identity(going)
                    t = Concat<axis=0>(s, x)
                }
            >
        }""",
    "Loop of no rounds": """
        g (float[n,3] x) => (float[n,3] y, float[r,n,3] all) {
            none = Constant<value = int64 {0}>()
            y, all = Loop (none, , x) <
                body = round (int64 i, bool going, float[n,3] s) => (bool goes, float[n,3] t, float[n,3] out) {
                    goes = Identity(going)
                    t = Add(s, x)
                    out = Neg(t)
                }
            >
        }""",
    "Loop in a Loop": """
        g (float[n,3] x, int64 k) => (float[n,3] y) {
            y = Loop (k, , x) <
                body = outer (int64 i, bool going, float[n,3] s) => (bool goes, float[n,3] t) {
                    goes = Identity(going)
                    t = Loop (i, , s) <
                        body = inner (int64 j, bool more, float[n,3] a) => (bool still, float[n,3] b) {
                            still = Identity(more)
                            half = Constant<value = float {0.5}>()
                            scaled = Mul(a, half)
                            b = Add(scaled, x)
                        }
                    >
                }
            >
        }""",
    "Scan over time": """
        g (float[n,3] x, float[m,n,3] xs) => (float[n,3] y, float[m,n,3] all) {
            y, all = Scan (x, xs) <num_scan_inputs = 1,
                body = round (float[n,3] s, float[n,3] e) => (float[n,3] t, float[n,3] out) {
                    t = Add(s, e)
                    out = Mul(t, e)
                }
            >
        }""",
    "Scan backwards along the second axis": """
        g (float[n,3] x, float[n,m,3] xs) => (float[n,3] y, float[n,m,3] all) {
            y, all = Scan (x, xs) <num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1],
                scan_output_axes = [1], scan_output_directions = [1],
                body = round (float[n,3] s, float[n,3] e) => (float[n,3] t, float[n,3] out) {
                    t = Sub(s, e)
                    out = Identity(t)
                }
            >
        }""",
    "Reshape to a shape that is computed": """
        g (float[n,m,6] x) => (float[n,2,r] y) {
            shape = Shape(x)
            zero = Constant<value = int64 {0}>()
            first = Gather(shape, zero)
            axes = Constant<value = int64[1] {0}>()
            batch = Unsqueeze(first, axes)
            rest = Constant<value = int64[2] {2, -1}>()
            target = Concat<axis=0>(batch, rest)
            y = Reshape(x, target)
        }""",
}

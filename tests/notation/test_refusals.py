"""What people write by mistake or by habit: one error, marked at its place, with a way out.

In each text braces stand around what is to be marked.
"""

from __future__ import annotations

import pytest

from derive.errors import CODES, SourceError
from derive.notation.reader import read_equation, read_ops
from tests.notation.reading import marking

ROWS = "op f(x[b,h]) -> y[b,h]\n"  # a header for the lines below it
ROW = "op f(x[b,h]) -> y[b]\n"
PAIRS = "op f(x[i,j]) -> y[i,j]\n"
LABELS = "op f(x[b,c], t[b]: int[c]) -> y[b]\n"
SYSTEM = "op f(A[i,k], b[i]) -> y[k]\n"

REFUSED = (  # a text, the code, a piece of the help
    # functions known from elsewhere
    (ROWS + "y[b,h] = {torch.exp}(x[b,h])", "E202", "`exp(…)`"),
    (ROWS + "y[b,h] = {np.maximum}(x[b,h], 0)", "E202", "`max(a, b)`"),
    (ROWS + "y = {torch.nn.functional.softmax}(x, dim=-1)", "E202", "1[k]*exp(x[b,k])"),
    (ROWS + "y[b,h] = {softmax(x[b,h])}", "E202", "1[k]*exp(x[b,k])"),
    (ROWS + "y[b,h] = {pow(x[b,h], 2)}", "E202", "`u^2`"),
    (ROWS + "y[b,h] = {ln(x[b,h])}", "E202", "`log(u)`"),
    (ROWS + "y[b,h] = {clamp(x[b,h], 0, 1)}", "E202", "min(max(u, lo), hi)"),
    (ROWS + "y[b,h] = {rand()}*x[b,h]", "E202", "pass it as an input"),
    (ROWS + "y[b,h] = {sqrtt(x[b,h])}", "E202", "did you mean `sqrt`?"),
    (ROWS + "y[b,h] = {sqrt(x[b,h], 2)}", "E114", "`sqrt(u)`"),
    (ROWS + "y[b,h] = {min(x[b,h], 1, 2)}", "E114", "min(a, min(b, c))"),
    (ROW + "y[b] = x[b,h]{.}sum()", "E101", "`sum[h](…)`"),
    (ROW + "y[b] = sum(x[b,h], axis{=}1)", "E101", "says which axis"),
    (ROW + "y[b] = {sum(x[b,h], h)}", "E114", "`sum[h](…)`"),
    (ROW + "y[b] = {max_h(x[b,h])}", "E202", "`max[h](…)`"),
    (ROW + "y[b] = {argmax}[h](x[b,h])", "E202", "int[c]"),
    (ROW + "y[b] = {logsumexp}[h](x[b,h])", "E202", "log(sum[h]"),
    ("op f(x[b,i], w[i,o]) -> y[b,o]\ny[b,o] = {matmul(x, w)}", "E202", "x[b,i]*w[i,o]"),
    ("op f(x[b,i], w[i,o]) -> y[b,o]\ny[b,o] = x[b,i] {@} w[i,o]", "E106", "`*`"),
    ("op f(x[n,c]) -> y[n,c]\ny[n,c] = {reshape(x, n, c)}", "E202", "x[n,g*S+s]"),
    # signs and words of other languages
    (ROWS + "y[b,h] = x[b,h] {if} x[b,h] > 0 else 0", "E104", "where"),
    (ROWS + "y[b,h] = x[b,h] {where} x[b,h] > 0", "E104", "condition first"),
    (ROWS + "y[b,h] = x[b,h] {for} b in B", "E101", "loops"),
    (ROWS + "y_b{,}h = x_b,h", "E101", "`y[b,h] = …`"),
    (ROWS + "exp{(}y[b,h]) = x[b,h]", "E101", "`solve y:`"),
    (ROWS + "y[b,h] = {σ}(x[b,h])", "E106", "`sigmoid(…)`"),
    (ROWS + "y[b,h] = {∂}x[b,h]", "E106", "derived"),
    (ROWS + "y[b,h] = {jax.nn.relu}(x[b,h])", "E202", "`relu(…)`"),
    (ROWS + "y[b,h] = {d(x[b,h])/d(x[p,q])}", "E508", "derivation"),
    (ROWS + "y[b,h] = x[b,h] /{/} 2", "E101", "`/`"),
    (ROWS + "y[b,h] {+}= x[b,h]", "E101", "`=`"),
    (ROWS + "y[b,h] {==} x[b,h]", "E101", "one `=`"),
    (ROWS + "let {y}[b,h] = x[b,h]", "E101", "remove `let`"),
    (ROWS + "{return x[b,h]}", "E113", "remove it"),
    (ROWS + "y[b,h] = x[b,h]{;}", "E101", "remove `;`"),
    (ROWS + "y[b,h] = x[b,h] *{}\n  2", "E102", "put brackets around"),
    (ROWS + "y[b,h] = x[b,h]\n  {+ 1}", "E113", "put brackets around"),
    (ROWS + "y[b,h] = {|}x[b,h]|", "E106", "`abs(u)`"),
    (ROWS + "y[b,h] = {\\}frac(x[b,h])(2)", "E106", "LaTeX"),
    (ROWS + "y[b,h] = x[b,h]{'}", "E106", "prime"),
    (ROWS + "y[b,h] = x[b,h]{²}", "E106", "`^2`"),
    (ROWS + "y[b,h] = x[b{，}h]", "E106", "`,`"),
    (ROWS + "y[b,h] ={\u00a0}x[b,h]", "E106", "plain space"),
    (ROWS + "y[b,h] = {exp} x[b,h]", "E101", "`exp(…)`"),
    (ROW + "y[b] = {sum_h} x[b,h]", "E101", "`sum[h](…)`"),
    (ROW + "y[b] = x[b,{:}]", "E101", "every index"),
    (ROWS + "y[b,h] = x[b]{[}h]", "E104", "one pair of brackets"),
    (ROWS + "y[b,h] = exp(x[b,h{)}]", "E103", "close `[` by `]` first"),
    # the header
    ("{def} f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]", "E101", "`op` for `def`"),
    ("op f(x[b,h]) {=} y[b,h]\ny[b,h] = x[b,h]", "E101", "`->`"),
    ("op f(x[b,h]) -> y[b,h]{:}\ny[b,h] = x[b,h]", "E101", "remove `:`"),
    ("op f(x[b,h], eps {=} 1e-5) -> y[b,h]\ny[b,h] = x[b,h]", "E101", "after a `;`"),
    ("op f(x[b {h}]) -> y[b,h]\ny[b,h] = x[b,h]", "E104", "`,` between indices"),
    ("op f(x[b,h] {w}[h]) -> y[b,h]\ny[b,h] = x[b,h]", "E101", "`,` between"),
    ("op layer{-}norm(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]", "E101", "write `_`"),
    ("op f(x[{B},h]) -> y[B,h]\ny[B,h] = x[B,h]", "E111", "write `b`"),
    ("op f(x[{c*R*R+r*R+s}]; R = 2) -> y\ny = 1[c]*x[c]", "E111", "`g*S+s`"),
    ("op f(x[{32}]) -> y[32]\ny[b] = x[b]", "E111", "small letter"),
    ("op f(x{: Tensor[b,h]}) -> y[b,h]\ny[b,h] = x[b,h]", "E501", "`x[b,h]`"),
    ("op f(x[b,h]; {eps}) -> y[b,h]\ny[b,h] = x[b,h] + eps", "E603", "eps = 1e-5"),
    ("op f(x[b,h]) -> {y[h,b]}\ny[b,h] = x[b,h]", "E305", "write `y[b,h]` here"),
    ("op f(x[b,h]) -> {y[b]}\ny[b,h] = x[b,h]", "E304", "write `y[b,h]` here"),
    ("op f(x[b,h]) -> {out[b,h]}\nouts[b,h] = 2*x[b,h]", "E209", "did you mean `outs`?"),
    ("op f(x[b,h], {w}[h]) -> y[b,h]\ny[b,h] = x[b,h]", "E208", "out of the header"),
    ("op f(x{(}b,h)) -> y[b,h]\ny[b,h] = x[b,h]", "E101", "`x[b,h]`"),
    ("op f(Tensor {x}[b,h]) -> y[b,h]\ny[b,h] = x[b,h]", "E101", "leave `Tensor` out"),
    ("op f(x[b,h]) -> y[b,h] {{}\ny[b,h] = x[b,h]", "E106", "below the header"),
    ("op f(x[b,h], y[b,h]) -> {y[b,h]}\nz[b,h] = x[b,h]*y[b,h]", "E209", "another name"),
    ("op f(x[b,h]) -> {y[b,h]}\ny_bh = 1[b,h]*x[b,h]", "E209", "for `y_bh"),
    # names
    ("op f(x[b,h], gamma[h]) -> y[b,h]\ny[b,h] = x[b,h]*{gama[h]}", "E201", "`gamma`?"),
    (ROW + "y[b] = 1/{N} * 1[h]*x[b,h]", "E201", "`B`, `H`"),
    (ROW + "y[b] = 1/{h} * 1[h]*x[b,h]", "E201", "its size is `H`"),
    (ROWS + "y[b,h] = {x_bh}", "E201", "`x[b,h]`"),
    (ROWS + "y[b,h] = {dx[b,h]}", "E201", "derived"),
    (ROWS + "y[b,h] = x[b,h]*{W}", "E201", "declare `W`"),
    (ROWS + "y[b,h] = {x(b,h)}", "E202", "`x[b,h]`"),
    (ROWS + "y[b,h] = {y[b,h]}*x[b,h]", "E207", "another name"),
    ("op f(x[t]) -> h[t]\nh[t] = {h[t-1]} + x[t]", "E207", "solve h: h"),
    # sums and shapes
    ("op f(x[b,h], w[h]) -> y[b]\ny[b] = x[b,{h}]*w[j]", "E301", "one letter"),
    ("op f(x[b,h], w[h,o]) -> y[b,o]\ny[b,o] = x[b,h]*w[{o},h]", "E305", "`w[h,o]`"),
    (ROW + "y[b] = sum[{b}](x[b,h]*1[h])", "E309", "another letter"),
    ("op f(x[b,h], w[h]) -> y[b]\ny[b] = w[h]*sum[{h}](x[b,h])", "E309", "leave `sum[h]` out"),
    (ROWS + "y[b,h] = x[b,h] - max[{h}](x[b,h])", "E309", "another letter"),
    (ROWS + "y[b,h] = x[b,h] - mean[{h}](x[b,h])", "E309", "`mean[k](…)`"),
    (ROW + "y[b] = mean[{k}](x[b,h])", "E310", "`mean[h](…)`"),
    ("op f(x[b,h]) -> y\ny = (x[{b},h] + 1)^2", "E301", "to sum over them"),
    ("op f(x[b,h]; eps = 1) -> y[b,h]\ny[b,h] = x[b,h] + {eps[h]}", "E304", "write `eps`"),
    (ROWS + "y[b,h] = x[b,h]/{0}", "E601", "not always zero"),
    (ROWS + "y[b,h] = {log(-1)}*x[b,h]", "E602", "not negative"),
    # conditions
    (ROWS + "y[b,h] = (x[b,h] {>} 0) * x[b,h]", "E502", "where(x[b,h] > 0"),
    (ROWS + "y[b,h] = where(x[b,h] > 0 {and} x[b,h] < 1, x[b,h], 0)", "E104", "nest them"),
    (ROWS + "y[b,h] = where(0 < x[b,h] {<} 1, x[b,h], 0)", "E502", "nest them"),
    (ROWS + "y[b,h] = where(x[b,h] {=} 0, 1, x[b,h])", "E101", "`==`"),
    (ROWS + "y[b,h] = where({not} x[b,h] > 0, x[b,h], 0)", "E101", "round"),
    (ROWS + "y[b,h] = where(x[b,h] <{>} 0, 1, x[b,h])", "E101", "`!=`"),
    (PAIRS + "y[i,j] = x[i,j]*{[}j <= i]", "E101", "where(j <= i, 1, 0)"),
    (PAIRS + "y[i,j] = where({k} <= i, x[i,j], 0)", "E311", "`; k = 2`"),
    # labels, relations, windows
    (LABELS + "y[b] = x[b,{t}]", "E505", "`t[b]`"),
    (LABELS + "y[b] = x[{t[b]},b]", "E305", "values of the index `c`"),
    ("op f(x[b,c], t[b]{: long[c]}) -> y[b]\ny[b] = x[b,t[b]]", "E501", "`: int[c]`"),
    (SYSTEM + "solve y {A}[i,k]*y[k] = b[i]", "E101", "`solve y: A"),
    (SYSTEM + "solve y{[}k]: A[i,k]*y[k] = b[i]", "E101", "without indices"),
    (SYSTEM + "{sovle} y: A[i,k]*y[k] = b[i]", "E101", "`solve y: …`"),
    (SYSTEM + "y[k] = {solve(A[i,k], b[i])}", "E202", "a line `solve y:"),
    (SYSTEM + "A[i,k]{*}y[k] = b[i]", "E101", "solve y:"),
    (SYSTEM + "solve y: A[i,k]*{exp(y[k])} = b[i]", "E504", "once in a product"),
    (SYSTEM + "solve y: A[i,k]*y[k] = {b[j]}", "E303", "both sides"),
    ("op f(x[b,s]) -> y[b]\ny[b] = x[b,{-1}]", "E111", "S-1"),
    ("op f(x[b,s]) -> y[b,s]\ny[b,{s+1}] = x[b,s]", "E111", "on the right"),
    ("op f({x[n,g*S+s]}) -> y[n,g]\ny[n,g] = x[n,g*S+s]*1[s]", "E311", "; G = 2"),
)


@pytest.mark.parametrize(("text", "code", "piece"), REFUSED)
def test_what_is_written_by_mistake_has_one_error_and_a_way_out(
    text: str, code: str, piece: str
) -> None:
    text, wanted = marking(text, code)
    with pytest.raises(SourceError) as caught:
        read_ops(text + "\n")
    [found] = caught.value.diagnostics
    assert (found.code, found.span[:2]) == wanted[:2]
    if found.span.end_line == found.span.line and wanted.marked:
        assert found.source[found.span.column - 1 : found.span.end_column - 1] == wanted.marked
    assert piece in found.help
    assert found.help != found.message


@pytest.mark.parametrize(
    ("statement", "code", "piece"),
    [
        ("y[b,h] == x[b,h]", "E101", "one `=`"),
        ("m[b] <= 0", "E101", "one `=`"),
        ("dx[p,h]*1[h] = 0 for all p", "E104", "`for p`"),
        ("x[b,h]", "E102", "both sides"),
        ("", "E102", "dx[p,h]*1[h] = 0"),
        ("y[b,h] = q[b,h]", "E201", "`x`, `m`, `y`"),
        ("d(y[b,h])/dx[b,h] = 0", "E202", "`d(y[b])/d(x[c])`"),
        ("grad(y, x) = 0", "E202", "`dx[b]`"),
        ("y[b,h] = x[b,k]", "E301", "`1[k]`"),
        ("y[b,k] = 1[k]", "E313", "`1[b]`"),
    ],
)
def test_what_is_to_be_proved_has_one_error_and_a_way_out(
    statement: str, code: str, piece: str
) -> None:
    [op] = read_ops(ROWS + "m[b] = x[b,h]*1[h]\ny[b,h] = x[b,h] + 1[h]*m[b]\n")
    with pytest.raises(SourceError) as caught:
        read_equation(op, statement)
    [found] = caught.value.diagnostics
    assert found.code == code
    assert piece in found.help


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_a_remedy_where_its_place_has_none(code: str) -> None:
    remedy = CODES[code].short_remedy
    assert remedy
    assert not remedy.endswith(".")

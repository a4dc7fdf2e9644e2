"""The table of errors: what each code means, an example that gives it, and what to do."""

from __future__ import annotations

from derive.code import Code
from derive.codes_paper import PAPER_ROWS

_HEAD = "op f(x[b,h]) -> y[b,h]\n"
_ROW = "op f(x[b,h]) -> y[b]\n"


ROWS = (
    # 1xx: the line cannot be read
    Code(
        "E101", "unexpected word or sign",
        "The line is well formed up to the mark; what stands there cannot follow.",
        "Compare with the grammar: `name[i,j] = expression`.",
        _HEAD + "y[b,h] = x[b,h] * / 2\n",
    ),
    Code(
        "E102", "line ends too early",
        "The line stops where a factor, a bracket or a name must follow. Inside brackets a line "
        "may be continued on the next; outside it may not.",
        "Finish the line, or put brackets around what is to be continued.",
        _HEAD + "y[b,h] = x[b,h] +\n",
    ),
    Code(
        "E103", "unbalanced brackets",
        "A bracket is opened and never closed, or closed and never opened.",
        "Close each `(` by `)` and each `[` by `]`.",
        _HEAD + "y[b,h] = (x[b,h]\n",
    ),
    Code(
        "E104", "missing operator",
        "Two factors stand side by side. Multiplication is always written.",
        "Write `*` between factors.",
        _HEAD + "y[b,h] = 2 x[b,h]\n",
    ),
    Code(
        "E105", "control or format character",
        "Control characters and invisible format characters are refused everywhere, in comments "
        "too: they can make a text look like another.",
        "Remove the character.",
        "# a\u202etitle\n" + _HEAD + "y[b,h] = x[b,h]\n",
    ),
    Code(
        "E106", "character not of the language",
        "Names are ASCII letters, digits and `_`; other letters that look like them are told by "
        "their Unicode names. Comments may hold any letter.",
        "Write Greek letters by name (`mu`), and `*`, `-`, `^2` for their typographic forms.",
        _HEAD + "y[b,h] = \u0430 * x[b,h]\n",
    ),
    Code(
        "E108", "line above the first op",
        "Equations belong to the `op` line above them.",
        "Begin with `op name(x[b,h]) -> y[b,h]`.",
        "y[b] = x[b]\n",
    ),
    Code(
        "E109", "no op",
        "The file holds nothing but comments.",
        "Write `op name(x[b,h]) -> y[b,h]` and its equations.",
        "# to be written\n",
    ),
    Code(
        "E110", "number with indices",
        "The one-tensor is the only number that carries indices.",
        "Write `2 * 1[h]`.",
        _HEAD + "y[b,h] = x[b,h] + 2[b,h]\n",
    ),
    Code(
        "E111", "not an index",
        "An index is a small letter, then small letters and digits; on the right side it may also "
        "be arithmetic of indices, sizes and integers, or a tensor of integers.",
        "Write `x[b,h]`, `x[b,s-k]`, `x[b,0]` or `x[b,t[b]]`.",
        _HEAD + "y[b,h] = x[b,1/2] * 1[h]\n",
    ),
    Code(
        "E112", "op without a tensor",
        "The size of every index is that of an input's axis, so an op takes a tensor of numbers.",
        "Declare an input before the `;`.",
        "op f(; eps = 1) -> y\ny = eps\n",
    ),
    Code(
        "E113", "not an equation",
        "Each line below `op` defines one tensor.",
        "Write `name[i] = expression`.",
        _HEAD + "y[b,h]\n",
    ),
    Code(
        "E114", "wrong arguments",
        "A function has a fixed number of arguments; a reduction (`sum`, `mean`, `max`, `min`) "
        "binds indices and has one.",
        "Write `exp(u)`, `max(a, b)`, `max[h](u)`, `sum[h](u)`.",
        _HEAD + "y[b,h] = max(x[b,h])\n",
    ),
    # 2xx: names
    Code(
        "E201", "unknown name",
        "The name is no input, parameter, size or tensor defined above.",
        "Declare it, define it, or mend its spelling.",
        "op f(x[b]; eps = 1) -> y[b]\ny[b] = x[b] + epz + eps\n",
    ),
    Code(
        "E202", "unknown function",
        "Only the functions of the language may be called.",
        "Mend the spelling, or write the function by means of others.",
        _HEAD + "y[b,h] = expp(x[b,h])\n",
    ),
    Code(
        "E203", "reserved word",
        "The name is a word of the language.",
        "Choose another name.",
        "op f(exp[b]) -> y[b]\ny[b] = exp[b]\n",
    ),
    Code(
        "E204", "name not usable in code",
        "The name becomes a name of generated Python, where it is a keyword or would hide "
        "something that the code needs; an op's name becomes that of a file too.",
        "Choose another name.",
        "op f(lambda[b]) -> y[b]\ny[b] = lambda[b]\n",
    ),
    Code(
        "E205", "name of a gradient",
        "The gradient of a tensor `x` is called `dx`, so nothing else may be.",
        "Choose another name.",
        "op f(x[b], dx[b]) -> y[b]\ny[b] = x[b] * dx[b]\n",
    ),
    Code(
        "E206", "defined twice",
        "A name is defined once, by the header or by an equation, and an output is listed once.",
        "Choose another name for the second.",
        _HEAD + "y[b,h] = x[b,h]\ny[b,h] = 2 * x[b,h]\n",
    ),
    Code(
        "E207", "used before it is defined",
        "Equations stand in the order in which they are computed; none defines itself.",
        "Move the equation up.",
        _HEAD + "y[b,h] = 2 * u[b,h]\nu[b,h] = x[b,h]\n",
    ),
    Code(
        "E208", "never used",
        "An input, parameter or tensor that nothing uses is a mistake as a rule.",
        "Remove it, or make it an output.",
        "op f(x[b], z[b]) -> y[b]\ny[b] = x[b]\n",
    ),
    Code(
        "E209", "output not defined",
        "Each output is defined by an equation; an input is no output.",
        "Add the equation, or mend the name.",
        "op f(x[b]) -> y[b], z[b]\ny[b] = x[b]\n",
    ),
    Code(
        "E210", "name of a size",
        "`H` is the size of the index `h`, so no tensor may be called `H` beside it, nor a "
        "parameter where an axis shows the size.",
        "Rename the tensor or the index.",
        "op f(x[h], H[h]) -> y[h]\ny[h] = x[h] * H[h]\n",
    ),
    Code(
        "E211", "two ops of one name",
        "The name of an op is that of its files, so it is unique, capitals apart.",
        "Rename one of them.",
        (_HEAD + "y[b,h] = x[b,h]\n") * 2,
    ),
    Code(
        "E212", "name of a function",
        "The generated module of an op `f` calls its own functions `f_forward` and `f_backward`. "
        "A tensor or a parameter of that name, or whose gradient has it, would hide one of them.",
        "Choose another name.",
        "op f(x[b], f_forward[b]) -> y[b]\ny[b] = x[b] * f_forward[b]\n",
    ),
    # 3xx: indices
    Code(
        "E301", "index neither free nor summed",
        "An index that is not on the left is summed over the outermost product in which at least "
        "two factors contain it. Here only one factor does.",
        "Multiply by `1[h]` to sum over `h`, or put `h` on the left.",
        _ROW + "y[b] = 1/H * x[b,h]^2\n",
    ),
    Code(
        "E302", "terms with different indices",
        "All terms of a sum, the arguments of `min` and `max` and the branches of `where` have the "
        "same indices; a condition may have fewer than its branches. Numbers, parameters and sizes "
        "may be added to anything; a tensor without an index may not.",
        "Broadcast by the one-tensor: `x[b,h] - 1[h]*m[b]`, `x[b] + 1[b]*bias`.",
        "op f(x[b,h], m[b]) -> y[b,h]\ny[b,h] = x[b,h] - m[b]\n",
    ),
    Code(
        "E303", "index of the left side missing",
        "The right side does not carry an index of the left side. The two sides of a relation to "
        "solve carry the same.",
        "Multiply by `1[b]` to broadcast.",
        "op f(x[b,h]) -> y[b,h]\nm[b] = 1[h] * x[b,h]\ny[b,h] = m[b]\n",
    ),
    Code(
        "E304", "wrong number of indices",
        "A tensor has as many indices wherever it stands as where it is declared; sizes and "
        "parameters have none.",
        "Write one index for each axis.",
        _HEAD + "y[b,h] = x[b] * 1[h]\n",
    ),
    Code(
        "E305", "one index with two sizes",
        "An index runs over axes of one size. Two letters of the header are two sizes.",
        "Use another letter, or declare the sizes equal: one letter in the header, or a `delta`.",
        "op f(x[b,h]) -> y[h,b]\ny[h,b] = x[h,b]\n",
    ),
    Code(
        "E306", "brackets without an index",
        "A one-tensor has an index; a tensor that has none is written bare.",
        "Write `1` and `alpha`, without brackets.",
        _HEAD + "y[b,h] = 1[] * x[b,h]\n",
    ),
    Code(
        "E307", "index used for two sums",
        "Each factor that contains the index would sum it by itself, so it is not clear whether "
        "one sum is meant or two.",
        "Write another letter in one of them, or `1[i]` in front for one sum over the product.",
        "op f(x[i], z[i]) -> y\ny = sqrt(x[i]*x[i]) * sqrt(z[i]*z[i])\n",
    ),
    Code(
        "E308", "repeated index in a definition",
        "The indices of what is defined give its axes in order, so they are distinct.",
        "Write `y[i,j] = delta[i,j] * …`.",
        "op f(x[i]) -> y[i,j]\ny[i,i] = x[i]\n",
    ),
    Code(
        "E309", "bound index in use",
        "A reduction such as `sum[h](…)` binds a letter that nothing around it uses.",
        "Bind another letter.",
        _HEAD + "y[b,h] = x[b,h] * sum[h](x[b,h])\n",
    ),
    Code(
        "E310", "bound index not carried",
        "What a reduction runs over an index carries it.",
        "Multiply by `1[h]` to sum something constant.",
        "op f(x[b], w[h]) -> y[b]\ny[b] = sum[h](x[b]) * sum[k](w[k])\n",
    ),
    Code(
        "E311", "index without a size",
        "The size of every index is that of an input's axis; no component with such an axis "
        "carries this one. Of the sizes of an axis `g*S+s`, all but one are known from elsewhere.",
        "Let a component carry it, tie it to another by `delta`, or make its size a parameter.",
        _HEAD + "y[b,h] = x[b,h] * 1[k] * 1[k]\n",
    ),
    Code(
        "E312", "exponent with a tensor",
        "An exponent is a number, a scalar parameter, or an expression of them.",
        "Write `exp(g[h] * log(x[b,h]))`.",
        "op f(x[b], g[b]) -> y[b]\ny[b] = x[b] ^ g[b]\n",
    ),
    Code(
        "E313", "sides with different indices",
        "Both sides of a statement have the same free indices; numbers are exempt.",
        "Multiply by `1[h]` to broadcast.",
        _HEAD + "y[b,h] = x[b,h]\n",
        "y[b,h] = x[b,k] * 1[k]",
    ),
    # 4xx: limits
    Code(
        "E401", "text too long",
        "A file holds 64 KiB at most; a paper 1 MiB, its displays 128 KiB, one side of an equality "
        "16 KiB.",
        "Split it into several files.",
        "# " + "x" * 65_536,
    ),
    Code(
        "E402", "nested too deeply",
        "Brackets, powers, functions, and sums in products are nested 100 deep at most. Conditions "
        "in conditions come to 50 thousand nodes at most; each one doubles what is in it.",
        "Name a part by an equation of its own.",
        _HEAD + "y[b,h] = " + "(" * 101 + "x[b,h]" + ")" * 101 + "\n",
    ),
    Code(
        "E403", "too many equations",
        "An op has 200 equations at most; a paper, or a list of equations to prove, has 2000.",
        "Split it into several ops.",
        _HEAD + "y[b,h] = x[b,h]\n" * 201,
    ),
    Code(
        "E404", "exponent too large",
        "The absolute value of an exponent is 64 at most.",
        "Write the power by means of `exp` and `log`.",
        _HEAD + "y[b,h] = x[b,h] ^ 65\n",
    ),
    Code(
        "E405", "number too long",
        "A number has at most 40 digits and a decimal exponent of at most 400.",
        "Shorten it: double precision holds 17 digits.",
        _HEAD + "y[b,h] = x[b,h] + 1e401\n",
    ),
    Code(
        "E406", "numbers too large",
        "Numbers are exact; those computed here would be too long to be useful.",
        "Make a parameter of it.",
        _HEAD + "y[b,h] = x[b,h] * ((9^64)^64)^64\n",
    ),
    Code(
        "E407", "name too long",
        "A name has 40 letters at most.",
        "Shorten it.",
        f"op f({'x' * 41}[b]) -> y[b]\ny[b] = {'x' * 41}[b]\n",
    ),
    Code(
        "E408", "too many sums",
        "Naming the dummies of so many sums, or of one over so many indices, would take too long.",
        "Give a part of it an equation or a file of its own.",
        "op f(x[b]) -> y\ny = " + " * ".join(f"x[i{k}]" for k in range(999)) + " * 1["
        + ",".join(f"i{k}" for k in range(999)) + "]\n",
    ),
    Code(
        "E409", "too many errors",
        "Only the first 200 errors of a text are shown.",
        "Mend these first.",
        _HEAD + "y = \n" * 201,
    ),
    Code(
        "E410", "derivation too long",
        "All steps of a derivation together hold 200 thousand nodes at most: 150 times what layer "
        "norm takes.",
        "Name parts of the expression by equations of their own, or split the op.",
        "op f(x[b], z[b]) -> y[b]\ny[b] = "
        + "*".join(f"(x[b] + {k}*z[b])" for k in range(2, 99)) + "\n",
        derived=True,
    ),
    # 5xx: kinds of tensors, conditions, statements
    Code(
        "E501", "kind of tensor",
        "The one kind besides numbers is `int[c]`, integers that are values of the index `c`, or "
        "`int`, of which nothing is said. Only inputs are of a kind.",
        "Write `t[b]: int[c]` in the header, or leave the kind out.",
        "op f(x[c], t[b]: float[c]) -> y[b]\ny[b] = x[t[b]]\n",
    ),
    Code(
        "E502", "condition out of place",
        "A comparison is the first argument of `where`, which takes it and two values, and stands "
        "nowhere else.",
        "Write `where(x[b,h] > 0, x[b,h], 0)`.",
        _HEAD + "y[b,h] = where(x[b,h], x[b,h], 0)\n",
    ),
    Code(
        "E504", "relation that defines no tensor",
        "`solve y: …` defines `y` by as many equations as `y` has components, each linear in it.",
        "Write a relation like `A[i,k]*y[k] = b[i]`, over indices of the same sizes.",
        "op f(A[i,k], b[i]) -> y[k]\nsolve y: A[i,k]*y[k]^2 = b[i]\n",
    ),
    Code(
        "E505", "index that is no integer",
        "What stands as an index is a letter, arithmetic of integers, or a tensor of integers.",
        "Declare the tensor as `t[b]: int[c]` in the header.",
        "op f(x[b,c], t[b]) -> y[b]\ny[b] = x[b,t[b]]\n",
    ),
    Code(
        "E506", "integers as numbers",
        "A tensor of integers indexes or is compared; it is no value to compute with.",
        "Pass a tensor of numbers, or compare: `where(t[b] == c, 1, 0)`.",
        "op f(x[b,c], t[b]: int[c]) -> y[b]\ny[b] = x[b,t[b]] * t[b]\n",
    ),
    Code(
        "E507", "relation without its unknown",
        "`solve y: …` solves for `y`, which stands nowhere in the relation.",
        "Write `solve y: A[i,k]*y[k] = b[i]`.",
        "op f(A[i,k], b[i]) -> y[k]\nsolve y: A[i,k]*1[k] = b[i]\n",
    ),
    Code(
        "E508", "Jacobian in an op",
        "`d(y[b])/d(x[c])` stands only in statements to be proved.",
        "Write the derivative out, or leave it to the derivation.",
        _HEAD + "y[b,h] = x[b,h] * d(x[b,h])/d(x[b,h])\n",
    ),
    # 6xx: values
    Code(
        "E601", "division by zero",
        "The divisor is zero whatever the tensors hold.",
        "Divide by what is not always zero.",
        _HEAD + "y[b,h] = x[b,h] / (1 - 1)\n",
    ),
    Code(
        "E602", "not a real number",
        "An even root of a negative number, or the like.",
        "Keep roots and logarithms to numbers that are not negative.",
        _HEAD + "y[b,h] = x[b,h] * sqrt(-2)\n",
    ),
    Code(
        "E603", "default not a number",
        "A parameter has a default, which is a number or a quotient of two; a size that is a "
        "parameter is a whole number from 1 on.",
        "Write `eps = 1e-5`.",
        "op f(x[b]; eps) -> y[b]\ny[b] = x[b] + eps\n",
    ),
    Code(
        "E604", "default out of range",
        "The default is too large or too small for double precision.",
        "Use a number between 1e-300 and 1e300.",
        "op f(x[b]; eps = 1e-400) -> y[b]\ny[b] = x[b] + eps\n",
    ),
)  # fmt: skip

CODES = {row.code: row for row in (*ROWS, *PAPER_ROWS)}

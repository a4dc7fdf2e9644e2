"""Functions people know from elsewhere, and how to say the same here.

Each row is a remedy as a help line has it. None is guessed by likeness: `softmax` is not `max`.
"""

from __future__ import annotations

from collections.abc import Iterable

_PRODUCT = "write `x[b,i]*w[i,o]`: an index that both factors carry is summed"
_ORDER = "write the indices in another order: `y[h,b] = x[b,h]`"
_MERGE = "declare the axis with several indices, `x[n,g*S+s]`: it is `x[n,g,s]` in the equations"
_INPUT = "pass it as an input of the op: nothing random is drawn inside"
_INTEGERS = "integers are inputs only: pass them as `t[b]: int[c]`"
_PICK = "write `x[b,t[b]]` with `t[b]: int[c]` in the header"
_NORM = "write `sqrt(u[i]*u[i])`"
_ONES = "write `1[b,h]`, or the number alone: it may be added to anything"
_BOUND = "write `min(max(u, lo), hi)`"
_MASK = "write `where(j <= i, u, 0)`: conditions compare indices too"
_SOLVE = (
    "write a line `solve y: A[i,k]*y[k] = b[i]`, or `delta[i,j] = A[i,k]*y[k,j]` for an inverse"
)
_NONE = "it has no counterpart here: compute it outside and pass the result as an input"
_STEPS = "rounding has no gradient and no counterpart here: compute it outside and pass the result"
_STOP = "nothing is held fixed inside an op: pass what is constant as an input of its own"
_JOIN = "name the pieces apart, or choose by position: `where(i < 2, u, v)`"
_SIZE = "the size of index `h` is `H`, a number"
_LOG_SUM = "write `m[b] + log(sum[h](exp(x[b,h] - 1[h]*m[b])))` with `m[b] = max[h](x[b,h])`"
_SOFTMAX = "write `exp(x[b,h]) / (1[k]*exp(x[b,k]))`, after `max[k](x[b,k])` is taken off"
_SHIFT = "write arithmetic in the index: `x[b,s-1]`, `x[b,S-1-s]`; outside the axis it is 0"
_RUNNING = "write `1[j]*where(j <= i, x[b,j]*1[i], 0)` for a running sum"
_WINDOWS = "write `x[n,i+k]*w[k]`: an index may be arithmetic of indices"

_VARIANCE = "write `mean[h]((x[b,h] - 1[h]*m[b])^2)` with `m[b] = mean[h](x[b,h])`"

_ROWS = (
    ("pow power", "write `u^2`"),
    ("ln", "write `log(u)`"),
    ("log2", "write `log(u)/log(2)`"),
    ("log10", "write `log(u)/log(10)`"),
    ("log1p", "write `log(1 + u)`"),
    ("expm1", "write `exp(u) - 1`"),
    ("exp2", "write `exp(u*log(2))`"),
    ("square sqr", "write `u^2`"),
    ("cbrt", "write `u^(1/3)`"),
    ("reciprocal inverse_of", "write `1/u`"),
    ("maximum fmax", "write `max(a, b)`"),
    ("minimum fmin", "write `min(a, b)`"),
    ("amax nanmax", "write `max[h](u)`"),
    ("amin nanmin", "write `min[h](u)`"),
    ("fabs absolute", "write `abs(u)`"),
    ("sgn signum", "write `sign(u)`"),
    ("logistic expit", "write `sigmoid(u)`"),
    ("logsigmoid log_sigmoid", "write `-softplus(-u)`"),
    ("erfc", "write `1 - erf(u)`"),
    ("sinh", "write `(exp(u) - exp(-u))/2`"),
    ("cosh", "write `(exp(u) + exp(-u))/2`"),
    ("arcsin asin arccos acos arctan atan atan2 arctan2 asinh acosh atanh", _NONE),
    ("gamma_fn lgamma digamma gammaln bessel i0 erfinv", _NONE),
    ("gelu", "write `u*(1 + erf(u/sqrt(2)))/2`"),
    ("silu swish", "write `u*sigmoid(u)`"),
    ("mish", "write `u*tanh(softplus(u))`"),
    ("leaky_relu leakyrelu prelu", "write `where(u > 0, u, 0.01*u)`"),
    ("elu selu celu", "write `where(u > 0, u, exp(u) - 1)`"),
    ("relu6", "write `min(relu(u), 6)`"),
    ("softsign", "write `u/(1 + abs(u))`"),
    ("hardtanh", "write `min(max(u, -1), 1)`"),
    ("heaviside step", "write `where(u > 0, 1, 0)`"),
    ("clamp clip", _BOUND),
    ("softmax", _SOFTMAX),
    ("log_softmax logsoftmax", "write `x[b,h] - 1[h]*s[b]`, s the logarithm of the summed exp"),
    ("logsumexp lse logaddexp", _LOG_SUM),
    ("norm l2norm l2_norm normalize", _NORM),
    ("var variance std stddev", _VARIANCE),
    ("average avg", "write `mean[h](u)`"),
    ("dot matmul mm bmm einsum inner outer tensordot linear mul multiply contract", _PRODUCT),
    ("add subtract sub divide div", "write `+`, `-`, `*`, `/`"),
    ("transpose permute swapaxes movedim t", _ORDER),
    ("reshape view flatten rearrange unflatten", _MERGE),
    ("squeeze unsqueeze expand broadcast broadcast_to repeat tile", "broadcast by `1[h]*u[b]`"),
    ("concat concatenate cat stack hstack vstack split chunk", _JOIN),
    ("inv inverse pinv lstsq linsolve solve cholesky_solve", _SOLVE),
    ("det logdet slogdet eig eigh svd qr cholesky expm", _NONE),
    ("trace tr", "write `A[i,i]`: a repeated index is summed"),
    ("diag diagonal", "write `A[i,i]` for the diagonal, `delta[i,j]*u[i]` for the matrix"),
    ("eye identity kronecker kron_delta", "write `delta[i,j]`"),
    ("argmax argmin argsort sort topk top_k nonzero unique median quantile", _INTEGERS),
    ("one_hot onehot", "write `delta[c,t[b]]` with `t[b]: int[c]` in the header"),
    ("gather take index_select take_along_dim embedding lookup", _PICK),
    ("scatter scatter_add index_add bincount", "write `delta[c,t[b]]*x[b]`: it adds up by label"),
    ("cumsum", _RUNNING),
    ("cumprod prod product", "write `exp(sum[h](log(u)))` where u is positive"),
    ("tril triu mask masked_fill", _MASK),
    ("conv conv1d conv2d correlate convolve unfold pool avg_pool max_pool", _WINDOWS),
    ("roll shift flip", _SHIFT),
    ("pad", "outside its axis a component is 0 already: `x[b,s-k]`"),
    ("floor ceil round trunc mod remainder fmod floor_divide", _STEPS),
    ("zeros zeros_like ones ones_like full full_like", _ONES),
    ("arange linspace range iota", "conditions know positions: `where(j <= i, …)`; else pass them"),
    ("rand randn random normal uniform bernoulli dropout sample", _INPUT),
    ("detach stop_gradient no_grad stopgrad", _STOP),
    ("grad gradient backward jacobian", "leave gradients out: they are derived"),
    ("size shape len numel dim", _SIZE),
    ("float double int long bool to type cast astype", "leave it out: the caller's type is kept"),
    ("if if_else ifelse cond select choose iif", "write `where(a > 0, u, v)`"),
    ("scan cond_loop while_loop fori_loop recur", "unroll it, or pass the state in and out"),
    ("real imag conj complex angle fft ifft", "numbers are real: pass two tensors"),
)
REMEDIES = {name: remedy for names, remedy in _ROWS for name in names.split()}
MODULES = frozenset(
    [
        "np",
        "numpy",
        "torch",
        "nn",
        "F",
        "functional",
        "jnp",
        "jax",
        "tf",
        "tl",
        "math",
        "scipy",
        "keras",
        "K",
    ]
)
ATTRIBUTES = {"T": _ORDER, "mT": _ORDER, "shape": _SIZE, "data": "leave it out"}


def remedy_for(name: str, words: Iterable[str] = ()) -> str:
    """How to say here what a function elsewhere does; "" if that is not known."""
    if name in words:
        return f"write `{name}(…)`"
    plain = name.lower()
    found = REMEDIES.get(plain) or REMEDIES.get(plain.strip("_"))
    return found or ("" if plain == name or plain not in words else f"write `{plain}(…)`")

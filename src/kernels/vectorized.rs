//! Compiling a function several times, for vector registers of several widths, and choosing at run time.

/// Calls an `#[inline(always)]` function as compiled for the widest vectors that this machine has.
///
/// It must be a function, not a closure: a closure cannot be made to inline, and what is not inlined here is compiled
/// for the narrowest vectors.
#[inline]
pub(crate) fn vectorized<A, R>(function: impl FnOnce(A) -> R, arguments: A) -> R {
    pulp::Arch::new().dispatch(Call { function, arguments })
}

struct Call<F, A> {
    function: F,
    arguments: A,
}

impl<A, R, F: FnOnce(A) -> R> pulp::NullaryFnOnce for Call<F, A> {
    type Output = R;

    #[inline(always)]
    fn call(self) -> R {
        (self.function)(self.arguments)
    }
}

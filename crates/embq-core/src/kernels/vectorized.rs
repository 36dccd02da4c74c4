//! Compiles a function several times, for vector registers of several widths, and selects one at run time.

pub(crate) use pulp::{Simd, WithSimd};

/// A task that is compiled for each width. `run` and everything it calls in hot loops must be `#[inline(always)]`:
/// functions that are not inlined are compiled for the narrowest vectors.
pub(crate) trait Vectorized {
    type Output;

    fn run(self) -> Self::Output;
}

/// Runs a task as compiled for the widest vectors of this machine.
#[inline]
pub(crate) fn vectorized<T: Vectorized>(task: T) -> T::Output {
    pulp::Arch::new().dispatch(Task(task))
}

/// The same for a task written with explicit vectors, such as one with sums, whose order the compiler may not change.
#[inline]
pub(crate) fn with_simd<T: WithSimd>(task: T) -> T::Output {
    pulp::Arch::new().dispatch(task)
}

struct Task<T>(T);

impl<T: Vectorized> pulp::NullaryFnOnce for Task<T> {
    type Output = T::Output;

    #[inline(always)]
    fn call(self) -> T::Output {
        self.0.run()
    }
}

/// The results of a task with vectors of every width of this machine.
#[cfg(test)]
pub(crate) fn in_every_width<T: WithSimd>(task: impl Fn() -> T) -> Vec<T::Output> {
    let mut results = vec![task().with_simd(pulp::Scalar::new()), with_simd(task())];
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        results.push(task().with_simd(simd));
    }
    results
}

//! Options from two places, combined field by field.

/// Options from two places.
pub(crate) trait Combine {
    /// The options of `self`, and those of `other` where `self` has none.
    #[must_use]
    fn combine(self, other: Self) -> Self;
}

impl<T> Combine for Option<T> {
    fn combine(self, other: Self) -> Self {
        self.or(other)
    }
}

/// A list replaces a list: `--fail-if` on the command line is in place of the configured gates.
impl<T> Combine for Vec<T> {
    fn combine(self, other: Self) -> Self {
        if self.is_empty() { other } else { self }
    }
}

/// A switch can only be turned on.
impl Combine for bool {
    fn combine(self, other: Self) -> Self {
        self || other
    }
}

/// Implements [`Combine`] for a struct with the named fields, which must be all of them.
macro_rules! combine_fields {
    ($name:ident { $($field:ident),* }) => {
        impl Combine for $name {
            fn combine(self, other: Self) -> Self {
                $name { $($field: self.$field.combine(other.$field)),* }
            }
        }
    };
}

pub(crate) use combine_fields;

//! The attributes that every type of the ABI carries, written once.

/// Declares a type that the kernel programs and the agent share, and asserts its size in bytes.
///
/// With the feature `user` the type can be read from bytes and written as bytes. That derive also refuses padding that
/// no field spells out.
macro_rules! shared {
    ($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* } size: $size:expr) => {
        $(#[$meta])*
        #[repr(C)]
        #[cfg_attr(
            feature = "user",
            derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
        )]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($fields)* }

        const _: () = assert!(size_of::<$name>() == $size);
    };
}

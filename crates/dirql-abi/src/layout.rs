//! One table per structure: fields, offsets and NT names, checked by the compiler.
//!
//! A structure is written once, as a table whose rows are `offset field: type = "NtMember"`.
//! From it come the Rust type, a compile-time assertion for its size and for every offset, the
//! line of documentation that names the NT member, and a [`StructLayout`] that tests compare with
//! a C compiler's view and that reports use to name a member by its offset.
//!
//! Rows without an NT name are the padding that a C compiler inserts silently. They are named
//! here because a structure that goes into driver memory must have no undefined bytes.

/// Where one member of an NT structure lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLayout {
    /// Name of the Rust field.
    pub field: &'static str,
    /// Path of the member as C spells it; `None` for padding.
    pub member: Option<&'static str>,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// Layout of one NT structure on x64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructLayout {
    /// NT name. A dot leads to a member: `IO_STACK_LOCATION.Parameters.Read` is that arm.
    pub nt_name: &'static str,
    /// Name of the Rust type.
    pub rust_name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// All fields, padding included, in the order of their offsets.
    pub fields: &'static [FieldLayout],
}

impl StructLayout {
    /// The field that covers the byte at `offset`, if any does.
    #[must_use]
    pub fn field_at(&self, offset: usize) -> Option<&'static FieldLayout> {
        self.fields
            .iter()
            .find(|field| (field.offset..field.offset + field.size).contains(&offset))
    }
}

/// Defines the structures of one module and `LAYOUTS`, the list of them.
macro_rules! layouts {
    ($(
        $(#[$meta:meta])*
        struct $name:ident = $nt:literal, size $size:literal $(, $repr:ident($n:literal))? {
            $( $(#[$fmeta:meta])* $off:literal $field:ident: $ty:ty $(= $member:literal)?, )*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("\nNT name: `", $nt, "`, ", stringify!($size), " bytes.")]
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq,
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
            )]
            #[repr(C $(, $repr($n))?)]
            pub struct $name {
                $(
                    #[doc = $crate::layout::member_doc!($off $($member)?)]
                    $(#[$fmeta])*
                    pub $field: $ty,
                )*
            }
            const _: () = {
                assert!(core::mem::size_of::<$name>() == $size);
                $( assert!(core::mem::offset_of!($name, $field) == $off); )*
            };
            impl $name {
                /// Members by name and offset.
                pub const LAYOUT: $crate::layout::StructLayout = $crate::layout::StructLayout {
                    nt_name: $nt,
                    rust_name: stringify!($name),
                    size: core::mem::size_of::<$name>(),
                    align: core::mem::align_of::<$name>(),
                    fields: &[$( $crate::layout::FieldLayout {
                        field: stringify!($field),
                        member: $crate::layout::member_name!($($member)?),
                        offset: core::mem::offset_of!($name, $field),
                        size: core::mem::size_of::<$ty>(),
                    } ),*],
                };
            }
        )*
        /// Every structure of this module.
        pub const LAYOUTS: &[$crate::layout::StructLayout] = &[$( $name::LAYOUT ),*];
    };
}

/// The generated first line of a field's documentation.
macro_rules! member_doc {
    ($off:literal) => {
        concat!("Padding at ", stringify!($off), "; zero.")
    };
    ($off:literal $member:literal) => {
        concat!("`", $member, "`, at ", stringify!($off), ".\n\n")
    };
}

/// `Some(name)` or, for padding, `None`.
macro_rules! member_name {
    () => {
        None
    };
    ($member:literal) => {
        Some($member)
    };
}

/// A module of named values, for tests and reports: its name, and each value with its NT name.
pub type NamedValues = (&'static str, &'static [(i64, &'static str)]);

/// Named values of driver-supplied words, a module for each enumeration or flag word:
/// constants, a table of them, and `name`. `NAMED_VALUES` lists the modules.
///
/// A driver may pass any value, so these are constants over the plain word, not an `enum`.
macro_rules! named_values {
    ($(
        $(#[$meta:meta])*
        mod $module:ident: $ty:ty {
            $( $(#[$vmeta:meta])* $name:ident = $value:expr, )*
        }
    )*) => {
        $(
            $(#[$meta])*
            pub mod $module {
                $(
                    #[doc = concat!("`", stringify!($name), "` = `", stringify!($value), "`.\n\n")]
                    $(#[$vmeta])*
                    pub const $name: $ty = $value;
                )*

                /// Every value with its NT name.
                pub const TABLE: &[($ty, &str)] = &[$( ($name, stringify!($name)) ),*];

                /// The NT name of `value`, if it has one; the first where several share a value.
                #[must_use]
                pub fn name(value: $ty) -> Option<&'static str> {
                    TABLE.iter().find(|(known, _)| *known == value).map(|(_, name)| *name)
                }
            }
        )*

        /// Every module of named values beside this one's structures.
        pub const NAMED_VALUES: &[$crate::layout::NamedValues] = &[
            $( (stringify!($module), &[$( ($module::$name as i64, stringify!($name)) ),*]) ),*
        ];
    };
}

pub(crate) use {layouts, member_doc, member_name, named_values};

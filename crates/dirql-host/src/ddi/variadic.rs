//! Exports with a variable number of arguments.
//!
//! A Win64 caller leaves room for four arguments above its return address, right below the
//! ones that it passed on the stack, and puts a floating-point argument of a variadic
//! routine into the integer register too. So storing four registers makes one array of
//! all arguments, which is also what a `va_list` is: a pointer to the next slot of eight
//! bytes. Sources: Microsoft, "x64 calling convention", Varargs; `stdarg.h`.

/// Declares exports with a variable number of arguments, after 1 to 4 fixed ones:
///
/// ```text
/// variadic_exports! {
///     fn DbgPrint(1, format: DriverPtr<u8>; arguments) -> NtStatus = |k| k.dbg_print(format, arguments);
/// }
/// ```
///
/// The number is how many arguments are fixed. `arguments` is a [`DriverPtr<u64>`] to the
/// first of the others. The table is the constant `VARIADIC`.
///
/// [`DriverPtr<u64>`]: dirql_kernel::DriverPtr
macro_rules! variadic_exports {
    ($(fn $name:ident($count:tt, $($fixed:ident: $type:ty),+; $arguments:ident) -> $answer:ty = |$k:ident| $body:expr;)*) => {
        $(
            #[allow(non_snake_case, reason = "named as drivers import it, often in other case")]
            mod $name {
                #[allow(unused_imports, reason = "which types are meant depends on the family")]
                use super::*;

                const _: () = assert!(
                    [$(stringify!($fixed)),+].len() == $count,
                    concat!(stringify!($name), " does not have this many fixed arguments")
                );

                pub(super) extern "win64" fn shim(
                    $($fixed: $type,)+
                    $arguments: dirql_kernel::DriverPtr<u64>,
                ) -> u64 {
                    $crate::ddi::enter::<$answer>(
                        stringify!($name),
                        const { dirql_rules::entry_irql(stringify!($name)) },
                        None,
                        |$k| $body,
                    )
                }

                #[unsafe(naked)]
                pub(super) extern "win64" fn entry() {
                    std::arch::naked_asm!(
                        "mov [rsp + 8], rcx",
                        "mov [rsp + 16], rdx",
                        "mov [rsp + 24], r8",
                        "mov [rsp + 32], r9",
                        $crate::ddi::variadic::point_at!($count),
                        "sub rsp, 56",
                        "mov [rsp + 32], rax",
                        "call {shim}",
                        "add rsp, 56",
                        "ret",
                        shim = sym shim,
                    )
                }
            }
        )*

        /// The family's variadic exports.
        pub(super) const VARIADIC: &[$crate::ddi::Export] = &[
            $($crate::ddi::Export {
                name: stringify!($name),
                irql: dirql_rules::entry_irql(stringify!($name)),
                shim: $name::entry as *const (),
            }),*
        ];
    };
}
pub(crate) use variadic_exports;

/// Puts the address of the first variable argument where the shim has the argument after
/// the fixed ones; the fifth argument is stored from `rax` in any case.
macro_rules! point_at {
    (1) => {
        "lea rdx, [rsp + 16]"
    };
    (2) => {
        "lea r8, [rsp + 24]"
    };
    (3) => {
        "lea r9, [rsp + 32]"
    };
    (4) => {
        "lea rax, [rsp + 40]"
    };
}
pub(crate) use point_at;

//! What driver code does without calling us: privileged instructions and accesses to
//! addresses that are not memory.
//!
//! The platform catches the fault, decodes the instruction and asks here what the
//! processor would do. These routines change state but run no driver code; afterwards
//! the platform looks at [`Kernel::needs_attention`] and, if it is set, calls
//! [`Kernel::attend`] on the interrupted strand, from where interrupts are delivered.

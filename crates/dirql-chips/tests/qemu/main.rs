//! Our chips against QEMU's: the same scripts of register accesses and line changes give the same
//! answers. What is known to differ is in [`known`], with a reason and a test each.
//!
//! Needs `qemu-system-x86_64` (on Debian and Ubuntu the package `qemu-system-x86`), and the
//! assembler that every linker comes with.

mod client;
mod edu;
mod ioapic;
mod known;
mod lapic;
mod parport;
mod pic;
mod script;
mod uart;

use script::compare;

#[test]
fn the_8259_pair() {
    compare::<pic::Pair>(3_000);
}

#[test]
fn the_io_apic() {
    compare::<ioapic::Pins>(2_000);
}

#[test]
fn the_local_apic() {
    compare::<lapic::Registers>(500);
}

#[test]
fn the_uart() {
    compare::<uart::Port>(2_000);
}

#[test]
fn the_parallel_port() {
    compare::<parport::Port>(1_500);
}

#[test]
fn the_edu_card() {
    compare::<edu::Card>(1_000);
}

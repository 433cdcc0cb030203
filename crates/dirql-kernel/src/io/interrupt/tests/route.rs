//! Where a message goes whose destination is not one processor's number.
//!
//! Source: Intel SDM volume 3, "Determining IPI Destination", "Lowest Priority Delivery Mode".

use alloc::vec::Vec;

use dirql_abi::Irql;
use dirql_chips::{DeliveryMode, DestinationMode, InterruptMessage, Vector};

use crate::hal::testing::Rig;
use crate::ke::ProcessorId;

const VECTOR: Vector = Vector(0x51);

/// Four processors with the logical IDs 1, 2, 4 and 8.
fn rig() -> Rig {
    let rig = Rig::new(4);
    for processor in rig.kernel().processors() {
        processor
            .lapic
            .borrow_mut()
            .set_logical_id(1 << processor.id.0);
    }
    rig
}

/// On which processors a message is requested then.
fn requested(rig: &Rig, message: InterruptMessage) -> Vec<u16> {
    rig.kernel().write_message(message.encode());
    let processors = rig.kernel().processors().iter();
    processors
        .filter(|processor| processor.lapic.borrow().irr().contains(VECTOR))
        .map(|processor| processor.id.0)
        .collect()
}

fn logical(destination: u8, delivery: DeliveryMode) -> InterruptMessage {
    InterruptMessage {
        destination_mode: DestinationMode::Logical,
        delivery,
        ..InterruptMessage::fixed(destination, VECTOR)
    }
}

#[test]
fn a_fixed_message_with_a_logical_destination_reaches_the_whole_set() {
    assert_eq!(
        requested(&rig(), logical(0b1010, DeliveryMode::Fixed)),
        [1, 3]
    );
    assert_eq!(
        requested(&rig(), logical(0xFF, DeliveryMode::Fixed)),
        [0, 1, 2, 3]
    );
    assert_eq!(
        requested(&rig(), logical(0x10, DeliveryMode::Fixed)),
        [0_u16; 0]
    );
}

#[test]
fn of_a_set_the_processor_of_lowest_priority_is_chosen() {
    let lowest = DeliveryMode::LowestPriority;
    assert_eq!(requested(&rig(), logical(0b1110, lowest)), [1]);
    let rig = rig();
    for busy in [1, 2] {
        let processor = rig.kernel().processor_by_id(ProcessorId(busy)).unwrap();
        processor.lapic.borrow_mut().set_tpr_class(Irql::DISPATCH.0);
    }
    assert_eq!(requested(&rig, logical(0b1110, lowest)), [3]);
}

/// Destination format register: 4 bits of cluster, 4 bits of members.
#[test]
fn the_cluster_model_is_the_local_apics() {
    let rig = Rig::new(4);
    for processor in rig.kernel().processors() {
        let mut lapic = processor.lapic.borrow_mut();
        let _ = lapic.write(0xE0, dirql_chips::Width::U32, 0x0FFF_FFFF);
        lapic.set_logical_id(((processor.id.0 / 2) << 4) as u8 | 1 << (processor.id.0 % 2));
    }
    assert_eq!(requested(&rig, logical(0x13, DeliveryMode::Fixed)), [2, 3]);
}

#[test]
fn the_physical_destination_of_all_ones_is_everybody() {
    let all = InterruptMessage::fixed(0xFF, VECTOR);
    assert_eq!(requested(&rig(), all), [0, 1, 2, 3]);
    let nobody = InterruptMessage::fixed(0x20, VECTOR);
    assert_eq!(requested(&rig(), nobody), [0_u16; 0]);
}

/// There the number of the last processor is that of the broadcast.
#[test]
fn with_256_processors_it_is_the_last_one() {
    let rig = Rig::new(256);
    assert_eq!(
        requested(&rig, InterruptMessage::fixed(0xFF, VECTOR)),
        [255]
    );
}

//! The biggest computer there is, with the most messages that a device can have.

use dirql_benches::scale::Machine;

#[test]
fn all_of_2048_messages_are_delivered_on_256_processors_in_4_groups() {
    let machine = Machine::start(256, 2048).unwrap();
    assert_eq!(machine.targets.len(), 2048, "each message has its resource");
    for group in 0..4 {
        assert!(machine.targets.iter().any(|target| target.0 == group));
    }
    for message in 0..2048 {
        assert_eq!(machine.interrupt([message]), 1, "message {message}");
    }
    assert_eq!(machine.interrupt(0..2048), 2048, "all at once");
    assert_eq!(machine.findings(), 0);
}

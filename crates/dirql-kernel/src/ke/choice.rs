//! What could happen next, and who says what does.
//!
//! Without a [`Chooser`] a run has one order: interrupts arrive at once, a processor goes on until
//! it waits or its turn is over, time passes when nobody has anything to do. With one, the kernel
//! says at each yield point what else real hardware could do there, and is told what happens.
//!
//! # What is offered
//! - A processor goes on, or one of its other threads does. ISRs and DPCs run on the strand that
//!   they interrupt, so they need no choice of their own: what is pending above the level is taken
//!   when its processor goes on.
//! - A message on its way to a processor arrives. A read of a device brings every message with it
//!   that was sent before, as PCI orders them; an interrupt over a line may be later than that.
//! - A device's delay ends now: a model's delay is a guess, a real device is faster or slower.
//! - The next of the other delays ends now: the code until here took that long. It is offered
//!   when no device would have been ready before, and while the processors were at it for less
//!   than [`Config::late_100ns`](crate::Config::late_100ns) longer than they say: a timer of
//!   seconds does not end inside an ISR. When nobody has anything to do, time passes freely.
//!
//! The first option is what happens without a chooser.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_chips::{InterruptMessage, Trigger, Vector};
use dirql_rules::Context;

use crate::ke::ProcessorId;
use crate::ke::clock::{Alarm, ClockAction};
use crate::ke::processor::Spin;
use crate::ke::touch::Touch;
use crate::stop::{Ddi, Stop};
use crate::{Event, Kernel};

/// Something that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A processor goes on.
    Processor(ProcessorId),
    /// The processor whose turn it is goes on with another thread that is ready.
    OtherThread(ProcessorId),
    /// A vector arrives at a processor.
    Arrival {
        /// Which processor.
        processor: ProcessorId,
        /// The vector.
        vector: Vector,
    },
    /// A delay is over.
    Delay(ClockAction),
}

impl Choice {
    /// A number for who acts, the same in every run: a processor, a source of messages, a delay.
    #[must_use]
    pub fn actor(self) -> u64 {
        let number = |kind: u64, low: u64| kind << 56 | low & ((1 << 56) - 1);
        match self {
            Self::Processor(id) | Self::OtherThread(id) => number(0, u64::from(id.0)),
            Self::Arrival { processor, vector } => {
                number(1, u64::from(processor.0) << 8 | u64::from(vector.0))
            }
            Self::Delay(ClockAction::Device { device, token }) => {
                number(2, u64::from(device) << 32 | u64::from(token))
            }
            Self::Delay(ClockAction::Timer(timer)) => number(3, timer),
            Self::Delay(ClockAction::WaitTimeout(thread)) => number(4, u64::from(thread.0)),
            Self::Delay(ClockAction::IoTimers) => number(5, 0),
        }
    }

    /// Which of the things that its actor could do.
    #[must_use]
    pub const fn variant(self) -> u8 {
        matches!(self, Self::OtherThread(_)) as u8
    }
}

/// Says what happens next.
pub trait Chooser {
    /// The index of what happens. `options` has at least one, two if the chooser does not
    /// [listen](Chooser::listens); the first happens without a chooser. What is out of range counts as the first.
    fn choose(&self, options: &[Choice]) -> usize;

    /// Whether it is told of touches and locks, and asked where there is one option, too; asked
    /// once, when it is set.
    fn listens(&self) -> bool {
        true
    }

    /// What happens since the latest choice touches an object.
    fn touched(&self, touch: Touch);

    /// The next step of a processor takes a lock, if it ever comes.
    fn wants(&self, processor: ProcessorId, lock: u64);
}

/// Where it is asked what happens.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// At a yield point of a processor. `away`: another one that has something to do comes first.
    Point { me: ProcessorId, away: bool },
    /// A thread of a processor lets go first whatever could go on now.
    Last { me: ProcessorId },
    /// A processor has given its turn up, and somebody has something to do.
    TurnOver,
    /// Nobody has anything to do and nothing is on its way.
    Idle,
}

/// An interrupt that has left its source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InFlight {
    processor: ProcessorId,
    vector: Vector,
    trigger: Trigger,
    /// Written to memory by a device, not signalled over a line.
    written: bool,
    /// Something else was chosen when it could have arrived.
    held: Cell<bool>,
}

#[derive(Default)]
pub(super) struct Choices {
    chooser: RefCell<Option<Rc<dyn Chooser>>>,
    /// Whether there is a chooser and it is asked.
    exploring: Cell<bool>,
    /// Whether the chooser wants to be told of touches and locks, and whether it is.
    listens: Cell<bool>,
    pub(super) tells_touches: Cell<bool>,
    /// Whether accesses of driver code to memory are told one by one.
    pub(super) tells_memory: Cell<bool>,
    in_flight: RefCell<Vec<InFlight>>,
    /// The processor that was chosen, until it is its turn.
    pub(super) next: Cell<Option<ProcessorId>>,
    options: RefCell<Vec<Choice>>,
}

impl Kernel {
    /// From now on `chooser` says what happens; `None`: what happens by itself.
    pub fn set_chooser(&self, chooser: Option<Rc<dyn Chooser>>) {
        let listens = chooser.as_ref().is_some_and(|chooser| chooser.listens());
        self.ke.choices.listens.set(listens);
        *self.ke.choices.chooser.borrow_mut() = chooser;
        self.let_choose(true);
    }

    /// Whether the chooser, if there is one, is asked from now on. While it is not, what happens
    /// by itself does, and what was on its way has arrived. Who tries all orders by what happens in
    /// them does not see that arrive: let nothing be on its way.
    pub fn let_choose(&self, asks: bool) {
        let choices = &self.ke.choices;
        let explores = asks && choices.chooser.borrow().is_some();
        choices.exploring.set(explores);
        choices.tells_touches.set(explores && choices.listens.get());
        if !self.is_exploring() {
            choices.next.set(None);
            self.land(|_| true);
        }
    }

    /// Whether somebody chooses.
    #[inline]
    pub(crate) fn is_exploring(&self) -> bool {
        self.ke.choices.exploring.get()
    }

    #[cold]
    pub(super) fn tell_touch(&self, touch: Touch) {
        let chooser = self.ke.choices.chooser.borrow().clone();
        if let Some(chooser) = chooser {
            chooser.touched(touch);
        }
    }

    /// Whether the running thread is all that could go on: nothing is on its way, no delay runs,
    /// nobody was interrupted and nobody else has anything to do. What it does now comes before
    /// whatever it starts later.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        let processor = self.processor();
        matches!(self.context(), Context::Thread(_))
            && self.irql() == Irql::PASSIVE
            && !processor.can_take_interrupt()
            && processor.dpc_queue.borrow().is_empty()
            && self.ke.choices.in_flight.borrow().is_empty()
            && self.ke.clock.alarms.borrow().is_empty()
            && !self.has_equal_ready()
            && self
                .processors()
                .iter()
                .all(|other| other.id == processor.id || !self.is_runnable(other))
    }

    /// A vector is on its way to a processor.
    #[cold]
    pub(crate) fn send_vector(
        &self,
        processor: ProcessorId,
        message: InterruptMessage,
        written: bool,
    ) {
        let sent = InFlight {
            processor,
            vector: message.vector,
            trigger: message.trigger,
            written,
            held: Cell::new(false),
        };
        self.ke.choices.in_flight.borrow_mut().push(sent);
    }

    /// What a device has written before it was read arrives with the answer.
    /// Source: PCI Local Bus Specification 3.0, "Transaction Ordering": a read's completion
    /// pushes posted writes that go the same way.
    pub(crate) fn land_messages(&self) {
        self.land(|sent| sent.written);
    }

    /// Whatever is on its way arrives.
    pub(super) fn land_all(&self) {
        self.land(|_| true);
    }

    fn land(&self, which: impl Fn(&InFlight) -> bool) {
        loop {
            let next = {
                let mut in_flight = self.ke.choices.in_flight.borrow_mut();
                let at = in_flight.iter().position(&which);
                at.map(|at| in_flight.remove(at))
            };
            match next {
                Some(sent) => self.request_vector(sent.processor, sent.vector, sent.trigger),
                None => return,
            }
        }
    }

    /// What a yield point is when somebody chooses.
    #[inline(never)]
    pub(super) fn explored_point(&self, step: u64) -> Ddi<()> {
        let turn_is_over = self.turn_is_over();
        if turn_is_over {
            self.begin_turn(step)?;
        }
        self.decide(turn_is_over)?;
        self.take_pending()?;
        if turn_is_over && self.irql() < Irql::DISPATCH && self.processor().thread.get().is_some() {
            self.end_quantum(self.ke.starve_nobody.take());
        }
        self.go_on_unless_ended()
    }

    pub(super) fn go_on_unless_ended(&self) -> Ddi<()> {
        if self.has_ended() {
            Err(Stop::Ended)
        } else {
            Ok(())
        }
    }

    /// Lets happen what is chosen until this processor is to go on. `away`: another one that has
    /// something to do comes first.
    #[inline]
    fn decide(&self, away: bool) -> Ddi<()> {
        if self.only_this_goes_on() {
            return self.go_on_unless_ended();
        }
        let me = self.processor().id;
        loop {
            match self.ask(Place::Point { me, away }) {
                Some(Choice::Processor(processor)) if processor == me => {
                    self.hold_back();
                    break;
                }
                Some(Choice::Processor(processor)) => {
                    self.hold_back();
                    self.ke.choices.next.set(Some(processor));
                    self.hand_over(false);
                    break;
                }
                Some(Choice::OtherThread(_)) => {
                    self.hold_back();
                    self.ke.choices.next.set(Some(me));
                    self.end_quantum(false);
                    self.ke.choices.next.set(None);
                    break;
                }
                Some(event) => self.happen(event),
                None => {
                    self.hand_over(true);
                    break;
                }
            }
            self.go_on_unless_ended()?;
        }
        self.go_on_unless_ended()
    }

    /// Whether there is one option, that the current processor goes on, and nobody wants to be told
    /// of that: most choices are such, and to list their option takes longer than to see it.
    pub(super) fn only_this_goes_on(&self) -> bool {
        let choices = &self.ke.choices;
        let processor = self.processor();
        let (me, count) = (usize::from(processor.id.0), self.processors().len());
        !choices.tells_touches.get()
            && choices.in_flight.borrow().is_empty()
            && self.ke.clock.alarms.borrow().is_empty()
            && (processor.spin.get().is_none() || self.is_runnable(processor))
            && (self.irql() >= Irql::DISPATCH
                || processor.spin.get().is_some()
                || !self.has_equal_ready())
            && (self.others_sleep()
                || self.first_runnable(0..me).is_none()
                    && self.first_runnable(me + 1..count).is_none())
    }

    /// A processor is about to take a lock: who else goes first may decide who gets it. One that
    /// holds it already waits for nobody.
    #[inline(never)]
    pub(super) fn choose_before_lock(&self, lock: u64) -> Ddi<()> {
        let me = self.processor().id;
        if self.holder(lock).is_some_and(|(id, _)| id == me) {
            return Ok(());
        }
        self.choose_before(Spin::Lock(lock), lock)
    }

    /// As [`Kernel::choose_before_lock`], with how the processor would wait for the lock.
    #[inline(never)]
    pub(super) fn choose_before(&self, spin: Spin, lock: u64) -> Ddi<()> {
        if !self.platform().on_strand() {
            return Ok(());
        }
        let me = self.processor().id;
        if self.ke.choices.tells_touches.get()
            && let Some(chooser) = self.ke.choices.chooser.borrow().clone()
        {
            chooser.wants(me, lock);
        }
        self.processor().spin.set(Some(spin));
        let decided = self.decide(false);
        self.processor().spin.set(None);
        decided?;
        self.take_pending()
    }

    /// An interrupt is over and the next one not begun: another one may arrive first, or another
    /// processor go on.
    #[inline(never)]
    pub(super) fn choose_between_interrupts(&self) -> Ddi<()> {
        if self.platform().on_strand() {
            self.decide(false)
        } else {
            Ok(())
        }
    }

    /// Which processor goes on when the one whose turn it was has given it up. `None`: none has
    /// anything to do, or something other than a processor acted.
    #[cold]
    pub(super) fn choose_processor(&self) -> Option<ProcessorId> {
        if let Some(chosen) = self.ke.choices.next.take() {
            return Some(chosen);
        }
        while !self.has_ended() {
            let any = self
                .processors()
                .iter()
                .any(|other| self.is_runnable(other));
            if !any && self.ke.choices.in_flight.borrow().is_empty() {
                return None;
            }
            match self.ask(Place::TurnOver)? {
                Choice::Processor(processor) | Choice::OtherThread(processor) => {
                    self.hold_back();
                    return Some(processor);
                }
                event => self.happen(event),
            }
        }
        None
    }

    /// Has time pass to the next delay's end when nobody has anything to do, or to the end of
    /// another one that may come first. `false` if there is none.
    #[cold]
    pub(super) fn choose_delay(&self) -> bool {
        self.ke.clock.nobody_is_late();
        match self.ask(Place::Idle) {
            Some(event) => {
                self.happen(event);
                true
            }
            None => false,
        }
    }

    /// Asks what happens.
    pub(super) fn ask(&self, place: Place) -> Option<Choice> {
        let mut options = self.ke.choices.options.take();
        options.clear();
        self.list_options(place, &mut options);
        let chooser = self.ke.choices.chooser.borrow().clone();
        let is_told = |of: usize| of > 1 || self.ke.choices.tells_touches.get();
        let chosen = match (chooser.filter(|_| is_told(options.len())), options.len()) {
            (_, 0) => None,
            (None, _) => Some(options[0]),
            (Some(chooser), _) => {
                let index = chooser.choose(&options);
                let choice = *options.get(index).unwrap_or(&options[0]);
                if choice != options[0] && self.report.is_recording() {
                    let (address, after_call) = match place {
                        Place::Point { .. } | Place::Last { .. } => self.waiting_place(),
                        Place::TurnOver | Place::Idle => (0, false),
                    };
                    self.event(Event::Switch {
                        choice,
                        options: options.len() as u16,
                        address,
                        after_call,
                    });
                }
                Some(choice)
            }
        };
        self.ke.choices.options.replace(options);
        chosen
    }

    fn list_options(&self, place: Place, options: &mut Vec<Choice>) {
        self.list_arrivals(false, options);
        let processors = self.processors();
        let (at, current, away) = match place {
            Place::Point { me, away } => (Some(me), me.0, away),
            Place::Last { me } => (Some(me), me.0, true),
            _ => (None, self.ke.current.get(), self.ke.give_turn.take()),
        };
        let is_last = matches!(place, Place::Last { .. });
        let count = processors.len();
        // The current one comes first, last, or not at all.
        for offset in usize::from(away)..count + usize::from(away && !is_last) {
            let index = usize::from(current) + offset;
            let processor = &processors[if index < count { index } else { index - count }];
            let me = at == Some(processor.id);
            let can = match processor.spin.get() {
                Some(_) => self.is_runnable(processor),
                None => me || self.is_runnable(processor),
            };
            if can {
                options.push(Choice::Processor(processor.id));
            }
        }
        if let Some(me) = at
            && self.irql() < Irql::DISPATCH
            && self.processor().spin.get().is_none()
            && self.has_equal_ready()
        {
            options.push(Choice::OtherThread(me));
        }
        self.list_arrivals(true, options);
        if !is_last {
            self.list_delays(matches!(place, Place::Idle), options);
        }
    }

    /// Vectors on their way. One that was held back stays away until nothing else happens.
    fn list_arrivals(&self, held: bool, options: &mut Vec<Choice>) {
        let in_flight = self.ke.choices.in_flight.borrow();
        for sent in in_flight.iter().filter(|sent| sent.held.get() == held) {
            let arrival = Choice::Arrival {
                processor: sent.processor,
                vector: sent.vector,
            };
            // Of two alike the second cannot be told from the first.
            if !options.contains(&arrival) {
                options.push(arrival);
            }
        }
    }

    /// Something else than what could have arrived was chosen.
    pub(super) fn hold_back(&self) {
        for sent in &*self.ke.choices.in_flight.borrow() {
            sent.held.set(true);
        }
    }

    /// Delays that may end now, in the order in which they are due.
    fn list_delays(&self, is_idle: bool, options: &mut Vec<Choice>) {
        let alarms = self.ke.clock.alarms.borrow();
        let mut device_is_due = false;
        let mut other_was = false;
        for (alarm, action) in &*alarms {
            let choice = Choice::Delay(*action);
            match action {
                ClockAction::Device { .. } => {
                    if !options.contains(&choice) {
                        options.push(choice);
                    }
                    device_is_due = true;
                }
                _ if !device_is_due && !other_was => {
                    if is_idle || self.code_may_take_until(*alarm) {
                        options.push(choice);
                    }
                    other_was = true;
                }
                _ => {}
            }
        }
    }

    /// Something that is no processor acts.
    pub(super) fn happen(&self, event: Choice) {
        match event {
            Choice::Arrival { processor, vector } => {
                let sent = {
                    let mut in_flight = self.ke.choices.in_flight.borrow_mut();
                    let at = in_flight
                        .iter()
                        .position(|sent| sent.processor == processor && sent.vector == vector);
                    at.map(|at| in_flight.remove(at))
                };
                if let Some(sent) = sent {
                    self.request_vector(sent.processor, sent.vector, sent.trigger);
                }
            }
            Choice::Delay(action) => {
                let alarm = self.first_alarm(action);
                if let Some(alarm) = alarm {
                    self.end_delay(alarm);
                }
            }
            Choice::Processor(_) | Choice::OtherThread(_) => {}
        }
    }

    fn first_alarm(&self, action: ClockAction) -> Option<Alarm> {
        let alarms = self.ke.clock.alarms.borrow();
        alarms
            .iter()
            .find(|(_, other)| **other == action)
            .map(|(alarm, _)| *alarm)
    }
}

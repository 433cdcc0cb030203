// From events to what is drawn: intervals and points, each lane sorted by event.

// Intervals that do not overlap: where each begins and ends, what it says, what kind it is.
class Intervals {
  constructor() {
    this.start = [];
    this.end = [];
    this.label = [];
    this.kind = [];
  }
  add(start, end, label, kind) {
    if (end <= start) return;
    this.start.push(start);
    this.end.push(end);
    this.label.push(label);
    this.kind.push(kind);
  }
  get length() {
    return this.start.length;
  }
  // The first that ends after `event`.
  after(event) {
    let low = 0;
    let high = this.end.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end[middle] > event) high = middle;
      else low = middle + 1;
    }
    return low;
  }
  at(event) {
    const found = this.after(event);
    return found < this.length && this.start[found] <= event ? found : -1;
  }
}

const DEPTHS = 4;
const MOST_LOCKS = 12;

// Events on the way to an ISR or a DPC: the level is raised before it is called.
const ON_THE_WAY = new Set(
  ["irql", "delivered", "lock_taken", "line", "pending", "end_of_interrupt", "message", "line_masked"].map((name) => KIND[name]),
);

// Events that say something of the level, and nothing of what runs at it: when a level falls, what
// ran above it is still noted as running.
const LEVEL_ALONE = new Set(["irql", "delivered", "end_of_interrupt"].map((name) => KIND[name]));

// The staircase of one processor: on each level who is there, under what interrupts it.
class Stairs {
  constructor(run) {
    this.run = run;
    this.levels = new Map();
    this.stack = [];
  }
  close(event) {
    const { level, start, label, kind } = this.stack.pop();
    if (!this.levels.has(level)) this.levels.set(level, new Intervals());
    this.levels.get(level).add(start, event, label, kind);
  }
  push(event, level, label, kind) {
    this.stack.push({ level, start: event, label, kind, fresh: true });
  }
  add(event, label) {
    const { events } = this.run;
    const level = events.irql[event];
    const kind = events.context[event] % 8;
    while (this.stack.length && this.stack[this.stack.length - 1].level > level) this.close(event);
    const top = this.stack[this.stack.length - 1];
    const passing = LEVEL_ALONE.has(events.kind[event]) || label === null;
    if (top && top.level === level && passing) return;
    if (label === null) label = contextName(events.context[event]);
    if (!top || top.level < level) {
      this.push(event, level, label, kind);
    } else if (top.label !== label) {
      const interrupts = kind === 2 || kind === 3 || kind === 4;
      const was = top.kind === 2 || top.kind === 3 || top.kind === 4;
      if (interrupts && top.fresh) {
        top.label = label;
        top.kind = kind;
      } else if (interrupts || !was) {
        this.close(event);
        this.push(event, level, label, kind);
      }
      // Else the ISR or DPC has returned, and the level is about to fall.
    }
    if (!ON_THE_WAY.has(events.kind[event])) this.stack[this.stack.length - 1].fresh = false;
  }
  finish(event) {
    while (this.stack.length) this.close(event);
  }
}

// Calls of routines and exports, nested, in the pieces in which their strand ran here.
class Calls {
  constructor() {
    this.depths = Array.from({ length: DEPTHS }, () => new Intervals());
    this.strands = new Map();
    this.current = null;
    this.deepest = 0;
  }
  strand(name) {
    if (!this.strands.has(name)) this.strands.set(name, []);
    return this.strands.get(name);
  }
  pieces(event) {
    if (this.current === null) return;
    this.strand(this.current).forEach((call, depth) => {
      if (depth < DEPTHS) this.depths[depth].add(call.start, event, call.label, call.kind);
    });
  }
  switchTo(event, name) {
    if (name === this.current) return;
    this.pieces(event);
    this.current = name;
    for (const call of this.strand(name)) call.start = event;
  }
  enter(event, label, kind) {
    const open = this.strand(this.current);
    open.push({ start: event, label, kind });
    this.deepest = Math.max(this.deepest, open.length);
  }
  leave(event) {
    const open = this.strand(this.current);
    const call = open.pop();
    if (call && open.length < DEPTHS) this.depths[open.length].add(call.start, event + 1, call.label, call.kind);
  }
}

// Everything that is drawn of a run.
function lanesOf(run) {
  const { events, strings } = run;
  const processors = Array.from({ length: run.processors }, () => ({
    stairs: new Stairs(run),
    calls: new Calls(),
    device: [],
    routines: [],
    taken: -1,
  }));
  const lines = new Map();
  const vectors = new Map();
  const locks = run.locks.map((name) => ({ name, held: new Intervals(), wanted: new Intervals(), since: -1, holder: 0, wants: new Map(), uses: 0 }));
  const switches = [];
  const landmarks = [];
  const findings = [];
  const line = (gsi) => {
    if (!lines.has(gsi)) lines.set(gsi, { high: new Intervals(), masked: new Intervals(), since: -1, maskedSince: -1 });
    return lines.get(gsi);
  };
  const vector = (number) => {
    if (!vectors.has(number)) vectors.set(number, { spans: new Intervals(), messages: [], pending: -1, serving: -1, from: 0 });
    return vectors.get(number);
  };
  for (let event = 0; event < events.count; event++) {
    const kind = events.kind[event];
    const processor = processors[events.processor[event]];
    const first = events.first[event];
    const second = events.second[event];
    const context = events.context[event];
    const contextKind = context % 8;
    if (kind === KIND.isr_enter || kind === KIND.dpc_enter) processor.routines.push(strings[first]);
    let label = contextName(context);
    if ((contextKind === 2 || contextKind === 3) && processor.routines.length)
      label = `${contextKind === 2 ? "ISR" : "DPC"} ${processor.routines[processor.routines.length - 1]}`;
    // Between the routine and the end of the interrupt.
    else if (contextKind === 2 || contextKind === 3) label = null;
    processor.stairs.add(event, label);
    if (contextKind === 1 || contextKind === 5) processor.calls.switchTo(event, contextKind === 5 ? "idle" : label);
    switch (kind) {
      case KIND.landmark:
        landmarks.push(event);
        break;
      case KIND.ddi_enter:
        processor.calls.enter(event, strings[first], 0);
        break;
      case KIND.routine_enter:
        processor.calls.enter(event, strings[first], 1);
        break;
      case KIND.isr_enter: {
        processor.calls.enter(event, strings[first], 2);
        const lock = locks[processor.taken];
        if (lock && !lock.isr) lock.isr = strings[first];
        processor.taken = -1;
        break;
      }
      case KIND.dpc_enter:
        processor.calls.enter(event, strings[first], 3);
        break;
      case KIND.isr_leave:
      case KIND.dpc_leave:
        processor.routines.pop();
      // falls through: what has begun ends
      case KIND.ddi_leave:
      case KIND.routine_leave:
        processor.calls.leave(event);
        break;
      case KIND.line: {
        const wire = line(first);
        if (second && wire.since < 0) wire.since = event;
        else if (!second && wire.since >= 0) {
          wire.high.add(wire.since, event, "", 0);
          wire.since = -1;
        }
        break;
      }
      case KIND.line_masked: {
        const wire = line(first);
        if (second && wire.maskedSince < 0) wire.maskedSince = event;
        else if (!second && wire.maskedSince >= 0) {
          wire.masked.add(wire.maskedSince, event, "masked", 0);
          wire.maskedSince = -1;
        }
        break;
      }
      case KIND.message:
        vector(first).messages.push(event);
        break;
      case KIND.pending: {
        const one = vector(second);
        if (one.serving >= 0) one.again = event;
        else if (one.pending < 0) one.pending = event;
        break;
      }
      case KIND.delivered: {
        processor.taken = -1;
        const one = vector(second);
        if (one.pending >= 0) one.spans.add(one.pending, event, "pending", 0);
        one.pending = -1;
        one.serving = event;
        one.from = events.processor[event];
        break;
      }
      case KIND.end_of_interrupt: {
        const one = vector(second);
        if (one.serving >= 0) one.spans.add(one.serving, event + 1, `in service on processor ${one.from}`, 1);
        one.serving = -1;
        one.pending = one.again ?? -1;
        if (one.pending >= 0) one.pending = event + 1;
        one.again = undefined;
        break;
      }
      case KIND.lock_wanted:
        locks[first].wants.set(events.processor[event], event);
        locks[first].uses++;
        break;
      case KIND.lock_taken: {
        const lock = locks[first];
        processor.taken = first;
        const since = lock.wants.get(events.processor[event]);
        if (since !== undefined) {
          lock.wanted.add(since, event, `processor ${events.processor[event]} waits`, 2);
          lock.wants.delete(events.processor[event]);
        }
        if (lock.since < 0) lock.since = event;
        lock.holder = events.processor[event];
        lock.uses++;
        break;
      }
      case KIND.lock_released: {
        const lock = locks[first];
        if (lock.since >= 0) lock.held.add(lock.since, event, `processor ${lock.holder}`, lock.holder);
        lock.since = -1;
        break;
      }
      case KIND.device_read:
      case KIND.device_write:
        processor.device.push(event);
        break;
      case KIND.switch:
        switches.push(event);
        break;
      case KIND.finding:
      case KIND.bug_check:
        findings.push(event);
        break;
    }
  }
  const end = events.count;
  for (const processor of processors) {
    processor.stairs.finish(end);
    processor.calls.pieces(end);
    processor.levels = [...processor.stairs.levels.keys()].sort((one, other) => one - other);
    processor.depth = processor.calls.depths.filter((depth) => depth.length).length;
  }
  for (const wire of lines.values()) {
    if (wire.since >= 0) wire.high.add(wire.since, end, "", 0);
    if (wire.maskedSince >= 0) wire.masked.add(wire.maskedSince, end, "masked", 0);
  }
  for (const one of vectors.values()) {
    if (one.pending >= 0) one.spans.add(one.pending, end, "pending", 0);
    if (one.serving >= 0) one.spans.add(one.serving, end, `in service on processor ${one.from}`, 1);
  }
  for (const lock of locks) {
    if (lock.since >= 0) lock.held.add(lock.since, end, `processor ${lock.holder}`, lock.holder);
    for (const [processor, since] of lock.wants) lock.wanted.add(since, end, `processor ${processor} waits`, 2);
  }
  return { processors, lines, vectors, locks, switches, landmarks, findings };
}

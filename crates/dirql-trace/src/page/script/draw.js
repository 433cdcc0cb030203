// The picture: lanes below each other, time to the right, one step of it per event.

const RULER = 52;
// Room for what happened at switches and findings, where there are any.
const CALLOUTS = 82;
const STAIR = 26;
const CALL = 17;
const LANE = 24;
const KIND_NAMES = ["bench", "thread", "isr", "dpc", "critical", "idle"];
const CALL_KINDS = ["call", "routine", "isr", "dpc"];

class Picture {
  constructor(canvas, run) {
    this.canvas = canvas;
    this.run = run;
    this.pen = canvas.getContext("2d");
    this.rows = this.layOut();
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colours = new Proxy({}, {
      get: (known, name) => (known[name] ??= style.getPropertyValue(`--${name}`).trim()),
    });
  }

  // What is where: rows with a name, a top and a height.
  layOut() {
    const { lanes, names, findings } = this.run;
    this.callouts = lanes.switches.length || findings.length ? CALLOUTS : 10;
    const rows = [];
    let top = RULER + this.callouts;
    const row = (type, height, name, more) => {
      rows.push({ type, top, height, name, ...more });
      top += height;
    };
    const gap = (height) => (top += height);
    for (const [gsi, wire] of [...lanes.lines].sort((one, other) => one[0] - other[0]))
      row("line", LANE, `line ${gsi}`, { wire, note: names.line.get(gsi)?.replace(/ line \d+/g, "") });
    for (const [number, vector] of [...lanes.vectors].sort((one, other) => one[0] - other[0])) {
      const source = names.vector.get(number);
      if (!source && (number < 0x30 || number >= 0xd0)) continue;
      row("vector", LANE, `vector 0x${number.toString(16)}`, { vector, note: source?.replace(/ line \d+/g, "") });
    }
    const locks = lanes.locks.filter((lock) => lock.uses).sort((one, other) => other.uses - one.uses);
    this.hiddenLocks = Math.max(0, locks.length - MOST_LOCKS);
    for (const lock of locks.slice(0, MOST_LOCKS)) {
      const short = lock.name.includes("!") ? lock.name.split("!")[1].split(" ")[0] : `…${lock.name.slice(-4)}`;
      row("lock", LANE - 2, lock.isr ? "lock" : `lock ${short}`, { lock, note: lock.isr && `of ${lock.isr}` });
    }
    lanes.processors.forEach((processor, number) => {
      gap(14);
      // One that did nothing has a stair, too, so that one sees that it is there.
      const levels = processor.levels.length ? processor.levels : [0];
      row("stairs", levels.length * STAIR + 4, `processor ${number}`, { processor, number, levels });
      if (processor.depth) row("calls", processor.depth * CALL + 2, "calls", { processor });
      if (processor.device.length) row("device", 16, "device", { processor });
    });
    this.height = top + 16;
    return rows;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (this.canvas.width !== Math.round(clientWidth * ratio) || this.canvas.height !== Math.round(clientHeight * ratio)) {
      this.canvas.width = Math.round(clientWidth * ratio);
      this.canvas.height = Math.round(clientHeight * ratio);
    }
    this.width = clientWidth;
    this.shown = clientHeight;
    this.gutter = clientWidth < 700 ? 104 : 188;
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  x(event) {
    return this.gutter + (event - this.view.start) * this.scale;
  }

  eventAt(x) {
    return Math.floor((x - this.gutter) / this.scale + this.view.start);
  }

  draw(view, state) {
    this.resize();
    this.view = view;
    this.state = state;
    this.scale = (this.width - this.gutter) / (view.end - view.start);
    const { pen, colours } = this;
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, this.width, this.shown);
    pen.textBaseline = "middle";
    pen.save();
    pen.translate(0, -state.scroll);
    this.clip(() => {
      this.drawSwitches();
      for (const row of this.rows) {
        if (row.top > state.scroll + this.shown || row.top + row.height < state.scroll) continue;
        this[`${row.type}Row`](row);
      }
      this.drawSelection();
    });
    this.drawNames();
    this.clip(() => this.drawFinding());
    pen.restore();
    this.drawRuler();
  }

  clip(body) {
    const { pen } = this;
    pen.save();
    pen.beginPath();
    pen.rect(this.gutter, -1e6, this.width - this.gutter, 2e6);
    pen.clip();
    body();
    pen.restore();
  }

  font(size, weight = 400) {
    this.pen.font = `${weight} ${size}px ${this.colours.sans}`;
  }

  // Intervals as boxes; where they are narrower than a pixel, a column of one colour per pixel.
  boxes(intervals, top, height, paint) {
    const { view, scale } = this;
    const first = intervals.after(view.start);
    const last = Math.min(intervals.length, this.beginsBefore(intervals, view.end));
    if (last - first < this.width - this.gutter) {
      for (let at = first; at < last; at++) {
        const left = Math.max(this.x(intervals.start[at]), this.gutter - 4);
        const right = Math.min(this.x(intervals.end[at]), this.width + 4);
        paint(left, Math.max(right - left, 1), at);
      }
      return;
    }
    // Neighbours of one kind become one box; what each of them says there is no room for.
    this.crowded = true;
    let from = -1;
    let kind = -1;
    let which = -1;
    for (let x = this.gutter; x <= this.width; x++) {
      const event = view.start + (x - this.gutter) / scale;
      const at = x < this.width ? intervals.after(event) : intervals.length;
      const here = at < intervals.length && intervals.start[at] < event + 1 / scale ? intervals.kind[at] : -1;
      if (here === kind) continue;
      if (kind >= 0) paint(from, x - from, which);
      [from, kind, which] = [x, here, at];
    }
    this.crowded = false;
  }

  beginsBefore(intervals, event) {
    let low = 0;
    let high = intervals.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (intervals.start[middle] < event) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // Points, one for each pixel at most.
  points(events, paint) {
    let low = lowerBound(events, this.view.start - 1);
    let last = -1;
    while (low < events.length && events[low] <= this.view.end) {
      const x = Math.round(this.x(events[low] + 0.5));
      if (x > last) {
        paint(x, events[low]);
        last = x;
        low++;
      } else {
        // To the first event of the next pixel.
        low = lowerBound(events, (last + 0.5 - this.gutter) / this.scale + this.view.start, low + 1);
      }
    }
  }

  label(text, left, width, middle, colour, size = 12, weight = 500) {
    const { pen } = this;
    const from = Math.max(left, this.gutter) + 6;
    const room = left + width - from - 4;
    if (room < 14 || !text || this.crowded) return;
    this.font(size, weight);
    let shown = text;
    if (pen.measureText(shown).width > room) {
      const short = shown.replace(/^(ISR|DPC) /, "");
      shown = short;
      let letters = Math.min(short.length, Math.ceil(room / (size * 0.42)));
      while (letters > 2 && pen.measureText(shown).width > room) shown = `${short.slice(0, --letters)}…`;
      if (letters <= 2) return;
    }
    pen.fillStyle = colour;
    pen.fillText(shown, from, middle);
  }

  stairsRow({ top, height, processor, levels }) {
    const { pen, colours } = this;
    const bottom = top + height;
    pen.strokeStyle = colours.grid;
    pen.lineWidth = 1;
    levels.forEach((level, index) => {
      const y = Math.round(bottom - (index + 1) * STAIR) + 0.5;
      pen.beginPath();
      pen.moveTo(this.gutter, y);
      pen.lineTo(this.width, y);
      pen.stroke();
    });
    levels.forEach((level, index) => {
      const y = bottom - (index + 1) * STAIR;
      const intervals = processor.stairs.levels.get(level);
      if (!intervals) {
        this.label("nothing happened here", this.gutter, this.width, y + STAIR / 2, colours.soft, 11, 400);
        return;
      }
      this.boxes(intervals, y, STAIR, (left, width, at) => {
        const name = KIND_NAMES[intervals.kind[at]];
        pen.fillStyle = colours[`${name}-fill`];
        pen.fillRect(left, y + 1, width, STAIR - 1);
        if (width > 3) {
          pen.fillStyle = colours[`${name}-edge`];
          pen.fillRect(left, y, width, 2.5);
          pen.fillRect(left, y, 1.5, STAIR);
          pen.fillRect(left + width - 1.5, y, 1.5, STAIR);
        } else {
          pen.fillStyle = colours[`${name}-edge`];
          pen.fillRect(left, y, width, 2.5);
        }
        this.label(intervals.label[at], left, width, y + STAIR / 2 + 1, colours[`${name}-ink`], 12, 600);
      });
    });
    pen.fillStyle = colours.axis;
    pen.fillRect(this.gutter, bottom - 0.5, this.width, 1);
  }

  callsRow({ top, processor }) {
    const { pen, colours } = this;
    processor.calls.depths.forEach((intervals, depth) => {
      const y = top + 1 + depth * CALL;
      this.boxes(intervals, y, CALL, (left, width, at) => {
        const name = CALL_KINDS[intervals.kind[at]];
        pen.fillStyle = colours[name === "call" ? "call-fill" : name === "routine" ? "routine-fill" : `${name}-fill`];
        if (width > 3) {
          pen.beginPath();
          pen.roundRect(left + 0.5, y, width - 1, CALL - 3, 3);
          pen.fill();
        } else pen.fillRect(left, y, width, CALL - 3);
        this.label(intervals.label[at], left - 2, width, y + CALL / 2 - 1, colours.soft, 10.5, 400);
      });
    });
  }

  deviceRow({ top, processor }) {
    const { pen, colours, run } = this;
    this.points(processor.device, (x, event) => {
      const read = run.events.kind[event] === KIND.device_read;
      pen.fillStyle = read ? colours.read : colours.write;
      pen.beginPath();
      // A read points up, a write down.
      const [tip, base] = read ? [top + 2, top + 11] : [top + 11, top + 2];
      pen.moveTo(x, tip);
      pen.lineTo(x - 4, base);
      pen.lineTo(x + 4, base);
      pen.fill();
    });
  }

  lineRow({ top, height, wire }) {
    const { pen, colours } = this;
    const low = top + height - 5.5;
    const high = top + 5.5;
    pen.strokeStyle = colours.wire;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(this.gutter, low);
    pen.lineTo(this.width, low);
    pen.stroke();
    this.boxes(wire.masked, top, height, (left, width) => this.hatch(left, top + 4, width, height - 8, colours.quiet));
    this.boxes(wire.high, top, height, (left, width) => {
      pen.fillStyle = colours["wire-fill"];
      pen.fillRect(left, high, width, low - high);
      pen.strokeStyle = colours.wire;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.moveTo(left, low);
      pen.lineTo(left + Math.min(2, width / 2), high);
      pen.lineTo(left + width - Math.min(2, width / 2), high);
      pen.lineTo(left + width, low);
      pen.stroke();
      this.label("asserted", left, width, (low + high) / 2, colours.soft, 10.5, 400);
    });
  }

  vectorRow({ top, height, vector }) {
    const { pen, colours } = this;
    const middle = top + height / 2;
    pen.fillStyle = colours.grid;
    pen.fillRect(this.gutter, middle, this.width, 1);
    this.boxes(vector.spans, top, height, (left, width, at) => {
      const serving = vector.spans.kind[at] === 1;
      if (serving) {
        pen.fillStyle = colours["isr-fill"];
        pen.fillRect(left, top + 4, width, height - 8);
        pen.fillStyle = colours["isr-edge"];
        pen.fillRect(left, top + 4, width, 2);
      } else {
        pen.fillStyle = colours.paper;
        pen.fillRect(left, top + 4, width, height - 8);
        this.hatch(left, top + 4, width, height - 8, colours.pending);
      }
      this.label(vector.spans.label[at], left, width, middle, serving ? colours["isr-ink"] : colours.ink, 10.5, 500);
    });
    this.points(vector.messages, (x) => {
      pen.fillStyle = colours.wire;
      pen.beginPath();
      pen.arc(x, middle, 4, 0, 7);
      pen.fill();
    });
  }

  lockRow({ top, height, lock }) {
    const { pen, colours } = this;
    const middle = top + height / 2;
    pen.fillStyle = colours.grid;
    pen.fillRect(this.gutter, middle, this.width, 1);
    this.boxes(lock.wanted, top, height, (left, width, at) => {
      this.hatch(left, top + 12, width, height - 14, colours.finding);
      this.label(lock.wanted.label[at], left, width, top + 15, colours.ink, 10, 500);
    });
    this.boxes(lock.held, top, height, (left, width, at) => {
      pen.fillStyle = colours["lock-fill"];
      pen.fillRect(left, top + 3, width, height - 7);
      pen.fillStyle = colours["lock-edge"];
      pen.fillRect(left, top + 3, Math.min(2, width), height - 7);
      pen.fillRect(left + Math.max(0, width - 2), top + 3, Math.min(2, width), height - 7);
      this.label(`held by ${lock.held.label[at]}`, left, width, middle - 0.5, colours["lock-ink"], 10.5, 500);
    });
  }

  hatch(left, top, width, height, colour) {
    const { pen } = this;
    if (width < 3) {
      pen.fillStyle = colour;
      pen.fillRect(left, top, width, height);
      return;
    }
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    pen.strokeStyle = colour;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let x = left - height - ((left - height) % 6); x < left + width; x += 6) {
      pen.moveTo(x, top + height);
      pen.lineTo(x + height, top);
    }
    pen.stroke();
    pen.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
    pen.restore();
  }

  // Where the schedule has a switch: a line through everything, its number at the ruler.
  drawSwitches() {
    const { pen, colours } = this;
    pen.strokeStyle = colours.switch;
    pen.lineWidth = 1.25;
    pen.setLineDash([4, 4]);
    pen.beginPath();
    this.points(this.run.lanes.switches, (x) => {
      pen.moveTo(x + 0.5, RULER + this.callouts - 12);
      pen.lineTo(x + 0.5, this.height);
    });
    pen.stroke();
    pen.setLineDash([]);
  }

  drawSelection() {
    const { pen, colours, state } = this;
    if (state.hover >= 0 && state.hover !== state.selected) {
      pen.fillStyle = colours.hover;
      pen.fillRect(this.x(state.hover), 0, Math.max(this.scale, 1), this.height);
    }
    if (state.selected >= 0) {
      const left = this.x(state.selected);
      pen.fillStyle = colours.select;
      pen.fillRect(left, 0, Math.max(this.scale, 2), this.height);
      pen.fillStyle = colours.accent;
      pen.fillRect(left - 0.5, 0, 1.5, this.height);
    }
    pen.fillStyle = colours.match;
    if (state.matches) this.points(state.matches, (x) => pen.fillRect(x - 1, RULER, 2, this.height));
  }

  drawNames() {
    const { pen, colours } = this;
    pen.fillStyle = colours.side;
    pen.fillRect(0, 0, this.gutter, Math.max(this.height, this.state.scroll + this.shown));
    pen.fillStyle = colours.grid;
    pen.fillRect(this.gutter - 1, 0, 1, Math.max(this.height, this.state.scroll + this.shown));
    // A text in the gutter; returns where it ends.
    const name = (text, x, y, size, weight, colour, align = "left", from = 12) => {
      this.font(size, weight);
      pen.fillStyle = colour;
      pen.textAlign = align;
      let shown = text;
      const room = align === "right" ? x - from : this.gutter - 16;
      while (shown.length > 2 && pen.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
      pen.fillText(shown, x, y);
      pen.textAlign = "left";
      return x + pen.measureText(shown).width;
    };
    const wide = this.gutter > 120;
    for (const row of this.rows) {
      const middle = row.top + row.height / 2;
      if (row.type === "stairs") {
        const bottom = row.top + row.height;
        name(row.name, 12, bottom - row.levels.length * STAIR + STAIR / 2, wide ? 13 : 11, 700, colours.ink);
        row.levels.forEach((level, index) => {
          const y = bottom - (index + 0.5) * STAIR + 1;
          const first = index === row.levels.length - 1;
          if (first && !wide) return;
          name(levelName(level), this.gutter - 10, y, 10.5, 500, colours.soft, "right");
        });
      } else if (row.type === "calls" || row.type === "device") {
        name(row.name, this.gutter - 10, row.type === "calls" ? row.top + 8 : middle - 1, 10.5, 400, colours.soft, "right");
      } else {
        const end = name(row.name, 12, middle, wide ? 12 : 10.5, 600, colours.ink);
        if (row.note && wide) name(row.note, this.gutter - 10, middle, 10.5, 400, colours.soft, "right", end + 8);
      }
    }
  }

  // The top of what a processor does at an event.
  top(event) {
    const { events } = this.run;
    const row = this.rows.find((row) => row.type === "stairs" && row.number === events.processor[event]);
    if (!row) return RULER + this.callouts;
    const index = Math.max(0, row.levels.indexOf(events.irql[event]));
    return row.top + row.height - (index + 1) * STAIR;
  }

  // The two places of a finding, joined.
  drawFinding() {
    const { pen, colours, state } = this;
    const mark = state.mark;
    if (!mark) return;
    const to = { x: this.x(mark.event + 0.5), y: this.top(mark.event) };
    const from = mark.earlier && { x: this.x(mark.earlier[0] + 0.5), y: this.top(mark.earlier[0]) };
    const above = RULER + this.callouts - 16;
    pen.strokeStyle = colours.finding;
    pen.fillStyle = colours.finding;
    pen.lineWidth = 1.5;
    for (const place of [from, to]) {
      if (!place) continue;
      pen.beginPath();
      pen.moveTo(place.x, above + 10);
      pen.lineTo(place.x, place.y);
      pen.stroke();
    }
    if (from) {
      const lift = Math.min(60, 18 + Math.abs(to.x - from.x) / 8);
      const middle = Math.max(above + 24, Math.min(from.y, to.y) - lift);
      const tip = { x: to.x - 9, y: to.y - 5 };
      pen.lineWidth = 2.5;
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.bezierCurveTo(from.x + (to.x - from.x) * 0.25, middle, from.x + (to.x - from.x) * 0.75, middle, tip.x, tip.y);
      pen.stroke();
      const angle = Math.atan2(tip.y - middle, tip.x - (from.x + (to.x - from.x) * 0.75));
      pen.beginPath();
      pen.moveTo(tip.x + 7 * Math.cos(angle), tip.y + 7 * Math.sin(angle));
      pen.lineTo(tip.x + 9 * Math.cos(angle + 2.5), tip.y + 9 * Math.sin(angle + 2.5));
      pen.lineTo(tip.x + 9 * Math.cos(angle - 2.5), tip.y + 9 * Math.sin(angle - 2.5));
      pen.fill();
      this.pin(from, "1");
      this.pin(to, "2");
    } else this.pin(to, "!");
  }

  pin({ x, y }, text) {
    const { pen, colours } = this;
    pen.fillStyle = colours.paper;
    pen.beginPath();
    pen.arc(x, y, 11, 0, 7);
    pen.fill();
    pen.fillStyle = colours.finding;
    pen.beginPath();
    pen.arc(x, y, 9, 0, 7);
    pen.fill();
    this.font(12, 700);
    pen.fillStyle = colours.paper;
    pen.textAlign = "center";
    pen.fillText(text, x, y + 0.5);
    pen.textAlign = "left";
  }

  drawRuler() {
    const { pen, colours, run } = this;
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, this.width, RULER + (this.state.scroll ? this.callouts : 0));
    pen.fillStyle = colours.side;
    pen.fillRect(0, 0, this.gutter, RULER + (this.state.scroll ? this.callouts : 0));
    pen.fillStyle = colours.grid;
    pen.fillRect(0, RULER - 1, this.width, 1);
    this.font(11, 600);
    pen.fillStyle = colours.soft;
    pen.fillText("scenario", 12, 14);
    pen.fillText("step, time", 12, 38);
    this.clip(() => {
      this.drawLandmarks();
      this.drawTicks();
      if (run.lanes.switches.length || this.state.mark) this.drawCallouts();
    });
  }

  drawLandmarks() {
    const { pen, colours, run } = this;
    const marks = run.lanes.landmarks;
    let shown = lowerBound(marks, this.view.start);
    if (shown > 0) shown--;
    for (let last = -1; shown < marks.length && marks[shown] <= this.view.end; shown++) {
      const left = this.x(marks[shown]);
      const next = shown + 1 < marks.length ? this.x(marks[shown + 1]) : this.width;
      if (next < last) continue;
      pen.fillStyle = shown % 2 ? colours["flag-odd"] : colours["flag-even"];
      pen.fillRect(left, 4, next - left - 1, 20);
      this.label(run.strings[run.events.text[marks[shown]]].replace(/^== /, ""), left, next - left, 14.5, colours.ink, 11.5, 600);
      last = left + 1;
    }
  }

  drawTicks() {
    const { pen, colours, run } = this;
    const wanted = 110 / this.scale;
    let stride = 1;
    for (const factor of [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5]) {
      stride = factor;
      if (factor >= wanted) break;
    }
    this.font(10.5, 400);
    const first = Math.ceil(this.view.start / stride) * stride;
    for (let event = Math.max(0, first); event < Math.min(run.events.count, this.view.end); event += stride) {
      const x = this.x(event);
      pen.fillStyle = colours.axis;
      pen.fillRect(x, RULER - 7, 1, 6);
      pen.fillStyle = colours.soft;
      pen.fillText(`${run.events.step[event]} · ${microseconds(run.events.time[event])}`, x + 3, 38);
    }
  }

  // What happened at switches and at a finding's places, in words, as far as there is room.
  drawCallouts() {
    const { pen, colours, run, state } = this;
    const boxes = [];
    const add = (event, text, colour, weight) => {
      const x = this.x(event + 0.5);
      if (x >= this.gutter - 1 && x <= this.width + 1) boxes.push({ x, text, colour, weight });
    };
    this.points(run.lanes.switches, (x, event) => {
      const text = run.strings[run.events.text[event]].replace(/^SWITCH: /, "").replace(/, while .*/, "");
      add(event, `◆ ${text}`, colours.switch, 500);
    });
    if (state.mark) {
      const { mark } = state;
      if (mark.earlier) add(mark.earlier[0], `① ${mark.earlier[1] || "the earlier place"}`, colours.finding, 700);
      add(mark.event, `${mark.earlier ? "②" : "!"} ${mark.rule}: ${mark.message}`, colours.finding, 700);
    }
    if (state.scroll) return;
    boxes.sort((one, other) => one.x - other.x);
    // Three rows; the findings' own words come first.
    const ends = [[], [], []];
    const free = (row, left, right) => ends[row].every(([from, to]) => right < from || left > to);
    for (const box of boxes.filter((box) => box.weight > 600).concat(boxes.filter((box) => box.weight < 600))) {
      this.font(11.5, box.weight);
      const wide = Math.min(pen.measureText(box.text).width + 14, Math.max(220, (this.width - this.gutter) * 0.5));
      const left = Math.max(this.gutter + 2, Math.min(box.x - 8, this.width - wide - 4));
      const row = [0, 1, 2].find((row) => free(row, left, left + wide));
      if (row === undefined) continue;
      const y = RULER + 4 + row * 24;
      pen.fillStyle = box.colour;
      ends[row].push([left - 4, left + wide + 4]);
      pen.fillRect(box.x - 0.5, y + 19, 1.5, RULER + this.callouts - y - 19);
      pen.fillStyle = colours.paper;
      pen.strokeStyle = box.colour;
      pen.lineWidth = box.weight > 600 ? 1.5 : 1;
      pen.beginPath();
      pen.roundRect(left, y, wide, 20, 5);
      pen.fill();
      pen.stroke();
      this.label(box.text, left, wide + 6, y + 10.5, box.weight > 600 ? colours.finding : colours.ink, 11.5, box.weight);
    }
  }
}

// The first index from `from` on whose event is at least `event`.
function lowerBound(events, event, from = 0) {
  let low = from;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle] < event) low = middle + 1;
    else high = middle;
  }
  return low;
}

// A run on the screen: what part of it is seen, what is chosen, and what one does with it.

function make(name, properties = {}, children = []) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

// The lines and vectors of a run by the names of their sources.
function namesOf(sources) {
  const names = { line: new Map(), vector: new Map() };
  for (const [kind, number, name] of sources)
    names[kind].set(number, names[kind].has(number) ? `${names[kind].get(number)}, ${name}` : name);
  return names;
}

// Unpacks a run, once.
const loaded = new Map();
function loadRun(number) {
  if (!loaded.has(number)) {
    const { name, replay, sources, timeline } = dataOf(`run-${number}`);
    const run = {
      name,
      replay,
      names: namesOf(sources),
      strings: timeline.strings,
      codes: timeline.codes,
      locks: timeline.locks,
      findings: timeline.findings,
      dropped: timeline.dropped,
      processors: timeline.processors,
      events: unpack(timeline),
    };
    run.lanes = lanesOf(run);
    loaded.set(number, run);
  }
  return loaded.get(number);
}

class RunView {
  constructor(element, number, changed) {
    this.run = loadRun(number);
    this.changed = changed;
    this.state = { selected: -1, hover: -1, mark: null, matches: null, scroll: 0 };
    this.view = { start: 0, end: Math.max(1, this.run.events.count) };
    this.build(element);
    this.picture = new Picture(this.canvas, this.run);
    this.explain();
    this.spacer.style.height = `${this.picture.height}px`;
    this.stage.style.height = `${Math.min(this.picture.height, Math.max(360, window.innerHeight * 0.64))}px`;
    this.listen();
    this.fit();
  }

  build(element) {
    const button = (text, label, action, key) => {
      const one = make("button", { type: "button", textContent: text, title: `${label}${key ? ` (${key})` : ""}`, onclick: action });
      one.setAttribute("aria-label", label);
      return one;
    };
    this.search = make("input", { type: "search", placeholder: "Search events", id: "search" });
    this.search.setAttribute("aria-label", "Search events");
    this.hits = make("output", { className: "hits" });
    this.tools = make("div", { className: "tools" }, [
      make("span", { className: "group" }, [
        button("◀", "Previous event", () => this.step(-1), "←"),
        button("▶", "Next event", () => this.step(1), "→"),
      ]),
      make("span", { className: "group" }, [
        button("◀ ◆", "Previous switch", () => this.stepIn(this.run.lanes.switches, -1), "["),
        button("◆ ▶", "Next switch", () => this.stepIn(this.run.lanes.switches, 1), "]"),
      ]),
      make("span", { className: "group" }, [
        button("−", "Zoom out", () => this.zoom(1.6), "-"),
        button("+", "Zoom in", () => this.zoom(1 / 1.6), "+"),
        button("Finding", "Show the finding", () => this.fitMark(), "f"),
        button("All", "Show the whole run", () => this.fit(), "0"),
      ]),
      make("span", { className: "group grow" }, [this.search, this.hits]),
      make("span", { className: "group" }, [
        (this.tableButton = button("Table", "Events as a table", () => this.toggleTable(), "t")),
      ]),
    ]);
    this.tableButton.setAttribute("aria-pressed", "false");
    this.canvas = make("canvas", { tabIndex: 0, id: "picture" });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute(
      "aria-label",
      "Timeline of the run. Arrow keys go from event to event; each is told below, and all are in the table.",
    );
    this.spacer = make("div", { className: "spacer" });
    this.stage = make("div", { className: "stage" }, [this.canvas, this.spacer]);
    this.overview = make("canvas", { className: "overview" });
    this.overview.setAttribute("aria-hidden", "true");
    this.tip = make("div", { className: "tip", hidden: true });
    this.told = make("p", { className: "told", id: "told" });
    this.told.setAttribute("aria-live", "polite");
    this.fields = make("dl");
    this.processors = make("div", { className: "processors" });
    this.code = make("div", { className: "code" });
    this.detail = make("section", { className: "detail" }, [
      make("div", { className: "card" }, [make("h2", { textContent: "Event" }), this.told, this.fields]),
      make("div", { className: "card" }, [make("h2", { textContent: "Processors at this moment" }), this.processors]),
      make("div", { className: "card wide" }, [make("h2", { textContent: "Code" }), this.code]),
    ]);
    this.tableElement = make("section", { className: "table", hidden: true });
    this.tableElement.setAttribute("aria-label", "Table of events");
    this.legend = make("p", { className: "legend" });
    for (const [name, text] of [["thread", "thread"], ["isr", "ISR"], ["dpc", "DPC"], ["critical", "critical section"], ["idle", "idle"]])
      this.legend.append(make("span", { className: `key ${name}` }), text);
    this.legend.append(make("span", { className: "key switch", textContent: "◆" }), "the schedule has a switch");
    element.replaceChildren(this.tools, this.overview, this.stage, this.legend, this.tip, this.detail, this.tableElement);
    if (this.run.dropped)
      this.legend.append(make("strong", { textContent: ` ${this.run.dropped.toLocaleString("en")} earlier events were not kept.` }));
  }

  explain() {
    // What is left out is said: who looks for it must not think that it did not happen.
    const left = [];
    const { hiddenLocks } = this.picture;
    if (hiddenLocks) left.push(`${hiddenLocks} ${hiddenLocks === 1 ? "lock" : "locks"} used less than these`);
    const deepest = Math.max(0, ...this.run.lanes.processors.map(({ calls }) => calls.deepest));
    if (deepest > DEPTHS) left.push(`calls inside of ${DEPTHS} others (the deepest is inside of ${deepest - 1})`);
    if (left.length) this.legend.append(make("span", { className: "left-out", textContent: `Not drawn, but in the table: ${left.join("; ")}.` }));
  }

  listen() {
    const { canvas, stage } = this;
    stage.addEventListener("scroll", () => {
      this.state.scroll = stage.scrollTop;
      this.redraw();
    });
    stage.addEventListener(
      "wheel",
      (wheel) => {
        const sideways = wheel.shiftKey || Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY);
        if (wheel.ctrlKey || wheel.metaKey) {
          this.zoom(Math.exp(wheel.deltaY * 0.004), this.picture.eventAt(this.local(wheel)));
        } else if (sideways) {
          this.pan(((wheel.deltaX || wheel.deltaY) * (this.view.end - this.view.start)) / this.picture.width);
        } else if (stage.scrollHeight <= stage.clientHeight + 1) {
          this.zoom(Math.exp(wheel.deltaY * 0.002), this.picture.eventAt(this.local(wheel)));
        } else return;
        wheel.preventDefault();
      },
      { passive: false },
    );
    let drag = null;
    canvas.addEventListener("pointerdown", (pointer) => {
      drag = { x: pointer.clientX, y: pointer.clientY, view: { ...this.view }, scroll: stage.scrollTop, moved: false };
      canvas.setPointerCapture(pointer.pointerId);
    });
    canvas.addEventListener("pointermove", (pointer) => {
      if (drag) {
        const by = pointer.clientX - drag.x;
        drag.moved ||= Math.abs(by) > 4;
        if (drag.moved) {
          this.look(drag.view.start - by / this.picture.scale, drag.view.end - by / this.picture.scale);
          stage.scrollTop = drag.scroll - (pointer.clientY - drag.y);
        }
      } else this.hover(pointer);
    });
    canvas.addEventListener("pointerup", (pointer) => {
      if (drag && !drag.moved) this.select(this.picture.eventAt(this.local(pointer)), { keep: true });
      drag = null;
    });
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("dblclick", (pointer) => this.zoom(1 / 3, this.picture.eventAt(this.local(pointer))));
    this.overview.addEventListener("pointerdown", (pointer) => {
      this.overview.setPointerCapture(pointer.pointerId);
      this.lookAt(pointer);
    });
    this.overview.addEventListener("pointermove", (pointer) => pointer.buttons && this.lookAt(pointer));
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (key) => {
      if (key.key === "Enter") this.stepIn(this.state.matches ?? [], key.shiftKey ? -1 : 1);
      if (key.key === "Escape") {
        this.search.value = "";
        this.find();
        this.canvas.focus();
      }
    });
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(stage);
  }

  local(pointer) {
    return pointer.clientX - this.canvas.getBoundingClientRect().left;
  }

  // Keys, wherever the focus is but in a field.
  key(key) {
    const actions = {
      ArrowLeft: () => this.step(-1, key.shiftKey),
      ArrowRight: () => this.step(1, key.shiftKey),
      "[": () => this.stepIn(this.run.lanes.switches, -1),
      "]": () => this.stepIn(this.run.lanes.switches, 1),
      "+": () => this.zoom(1 / 1.6),
      "=": () => this.zoom(1 / 1.6),
      "-": () => this.zoom(1.6),
      0: () => this.fit(),
      f: () => this.fitMark(),
      t: () => this.toggleTable(),
      "/": () => this.search.focus(),
      1: () => this.state.mark?.earlier && this.select(this.state.mark.earlier[0]),
      2: () => this.state.mark && this.select(this.state.mark.event),
      Home: () => this.select(0),
      End: () => this.select(this.run.events.count - 1),
    };
    const action = actions[key.key];
    if (!action) return false;
    action();
    return true;
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.drawNow();
    });
  }

  drawNow() {
    this.picture.draw(this.view, this.state);
    this.drawOverview();
  }

  // The whole run in a strip: the highest level at each place, what is seen, matches, the finding.
  drawOverview() {
    const { overview, run } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = overview.clientWidth;
    const height = overview.clientHeight;
    if (overview.width !== Math.round(width * ratio)) {
      overview.width = Math.round(width * ratio);
      overview.height = Math.round(height * ratio);
      this.strip = null;
    }
    const pen = overview.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { colours } = this.picture;
    const count = Math.max(1, run.events.count);
    pen.fillStyle = colours.side;
    pen.fillRect(0, 0, width, height);
    this.strip ??= this.highest(width);
    pen.fillStyle = colours.axis;
    this.strip.forEach((level, x) => {
      if (level) pen.fillRect(x, height - 2 - (level / 15) * (height - 4), 1, (level / 15) * (height - 4) + 2);
    });
    const x = (event) => (event / count) * width;
    pen.fillStyle = colours.match;
    for (const event of this.state.matches?.slice(0, 2000) ?? []) pen.fillRect(x(event), 0, 1.5, height);
    pen.fillStyle = colours.switch;
    for (const event of run.lanes.switches.slice(0, 2000)) pen.fillRect(x(event), 0, 1.5, 6);
    pen.fillStyle = colours.finding;
    for (const event of run.lanes.findings.slice(0, 2000)) pen.fillRect(x(event) - 1, 0, 2.5, height);
    pen.fillStyle = colours.veil;
    pen.fillRect(0, 0, x(this.view.start), height);
    pen.fillRect(x(this.view.end), 0, width, height);
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 1.5;
    pen.strokeRect(x(this.view.start) + 0.75, 0.75, Math.max(4, x(this.view.end) - x(this.view.start)) - 1.5, height - 1.5);
  }

  highest(width) {
    const strip = new Uint8Array(Math.max(1, Math.ceil(width)));
    const { irql, count } = this.run.events;
    for (let event = 0; event < count; event++) {
      const x = Math.floor((event / count) * width);
      if (irql[event] > strip[x]) strip[x] = irql[event];
    }
    return strip;
  }

  lookAt(pointer) {
    const { left, width } = this.overview.getBoundingClientRect();
    const middle = ((pointer.clientX - left) / width) * this.run.events.count;
    const half = (this.view.end - this.view.start) / 2;
    this.look(middle - half, middle + half);
  }

  // Shows the events from `start` to `end`, as far as there are any.
  look(start, end) {
    const count = Math.max(1, this.run.events.count);
    const length = Math.min(Math.max(end - start, 4), count + 2);
    const first = Math.max(-1, Math.min(start, count + 1 - length));
    this.view = { start: first, end: first + length };
    this.redraw();
    this.changed();
  }

  pan(by) {
    this.look(this.view.start + by, this.view.end + by);
  }

  zoom(factor, around = null) {
    const { start, end } = this.view;
    const selected = this.state.selected;
    const middle = around ?? (selected >= start && selected < end ? selected + 0.5 : (start + end) / 2);
    this.look(middle - (middle - start) * factor, middle + (end - middle) * factor);
  }

  fit() {
    this.look(-1, this.run.events.count + 1);
  }

  // Shows a finding with both its places, and the switches shortly before.
  fitMark() {
    const { mark } = this.state;
    if (!mark) return this.fit();
    const to = mark.event;
    let from = mark.earlier ? Math.min(mark.earlier[0], to) : to - 12;
    for (const event of this.run.lanes.switches) if (event < from && to - event < 3 * (to - from) + 40) from = Math.min(from, event);
    const length = Math.max(Math.abs(to - from), 16);
    this.look(from - length * 0.18 - 2, Math.max(to, from) + length * 0.22 + 2);
    return undefined;
  }

  setMark(mark) {
    this.state.mark = mark;
    if (mark) {
      this.fitMark();
      this.select(mark.event, { keep: true });
      const top = Math.min(this.picture.top(mark.event), mark.earlier ? this.picture.top(mark.earlier[0]) : 1e9);
      if (top > this.stage.clientHeight - 60) this.stage.scrollTop = top - 160;
    } else this.select(this.run.lanes.landmarks[0] ?? 0, { keep: true });
    this.redraw();
  }

  hover(pointer) {
    const { tip, run } = this;
    const x = pointer ? this.local(pointer) : -1;
    const event = pointer && x >= this.picture.gutter ? this.picture.eventAt(x) : -1;
    const is = event >= 0 && event < run.events.count;
    if (is) {
      tip.textContent = `${event}: ${run.strings[run.events.text[event]]}`;
      tip.style.left = `${Math.min(pointer.clientX + 14, window.innerWidth - 340)}px`;
      tip.style.top = `${pointer.clientY + 16}px`;
    }
    tip.hidden = !is;
    if (this.state.hover !== (is ? event : -1)) {
      this.state.hover = is ? event : -1;
      this.redraw();
    }
  }

  // Chooses an event. `keep`: what is seen stays as it is.
  select(event, { keep = false } = {}) {
    const { count } = this.run.events;
    if (!count) return;
    const chosen = Math.max(0, Math.min(event, count - 1));
    this.state.selected = chosen;
    const { start, end } = this.view;
    if (!keep && (chosen < start + (end - start) * 0.04 || chosen > end - (end - start) * 0.06)) {
      const length = end - start;
      this.look(chosen - length / 2, chosen + length / 2);
    }
    this.tell();
    this.redraw();
    this.changed();
  }

  step(by, same = false) {
    const { processor, count } = this.run.events;
    const { selected } = this.state;
    if (selected < 0) {
      this.select(Math.max(0, Math.floor(this.view.start)));
      return;
    }
    let event = selected + by;
    while (same && event >= 0 && event < count && processor[event] !== processor[selected]) event += by;
    this.select(event);
  }

  // The next or previous of some events.
  stepIn(events, by) {
    if (!events.length) return;
    const { selected } = this.state;
    const at = lowerBound(events, by > 0 ? selected + 1 : selected) + (by > 0 ? 0 : -1);
    this.select(events[(at + events.length) % events.length]);
  }

  find() {
    const { events, strings } = this.run;
    const wanted = this.search.value.trim().toLowerCase();
    if (!wanted) {
      this.state.matches = null;
      this.hits.textContent = "";
      this.redraw();
      return;
    }
    const has = strings.map((text) => text.toLowerCase().includes(wanted));
    const matches = [];
    for (let event = 0; event < events.count; event++)
      if (has[events.text[event]] || (events.place[event] && has[events.place[event] - 1])) matches.push(event);
    this.state.matches = matches;
    this.hits.textContent = matches.length === 1 ? "1 event" : `${matches.length.toLocaleString("en")} events`;
    if (matches.length) this.select(matches[Math.min(lowerBound(matches, Math.max(0, this.state.selected)), matches.length - 1)]);
    this.redraw();
  }

  // Says what is at the chosen event.
  tell() {
    const { run, state } = this;
    const { events, strings } = run;
    const event = state.selected;
    this.told.textContent = strings[events.text[event]];
    const place = events.place[event] ? strings[events.place[event] - 1] : "";
    const facts = [
      ["Event", `${event.toLocaleString("en")} of ${events.count.toLocaleString("en")}`],
      ["Step", events.step[event].toLocaleString("en")],
      ["Virtual time", microseconds(events.time[event])],
      ["Processor", events.processor[event]],
      ["IRQL", levelText(events.irql[event])],
      ["Running", contextName(events.context[event])],
    ];
    if (place) facts.push(["Driver's code", place]);
    this.fields.replaceChildren(
      ...facts.flatMap(([name, text]) => [make("dt", { textContent: name }), make("dd", { textContent: text })]),
    );
    this.tellProcessors(event);
    this.tellCode(event);
    if (!this.tableElement.hidden) this.table.show(event - TABLE_ROWS / 2, event);
  }

  tellProcessors(event) {
    const list = this.run.lanes.processors.map((processor, number) => {
      const stairs = [...processor.levels]
        .reverse()
        .map((level) => {
          const intervals = processor.stairs.levels.get(level);
          const at = intervals.at(event);
          return at < 0 ? null : `${levelName(level)}: ${intervals.label[at]}`;
        })
        .filter(Boolean);
      const calls = processor.calls.depths
        .map((intervals) => {
          const at = intervals.at(event);
          return at < 0 ? null : intervals.label[at];
        })
        .filter(Boolean);
      if (!stairs.length) stairs.push("nothing yet");
      return make("div", { className: "processor" }, [
        make("h3", { textContent: `processor ${number}` }),
        make("ol", {}, stairs.map((text) => make("li", { textContent: text }))),
        make("p", { className: "calls", textContent: calls.join(" › ") }),
      ]);
    });
    this.processors.replaceChildren(...list.slice(0, 16));
  }

  // The code of a place of the finding, of an event, or of the latest one before it on its
  // processor that has some.
  tellCode(event) {
    const { events, codes, strings } = this.run;
    const { mark } = this.state;
    let place = event === mark?.event ? mark.code[0] : event === mark?.earlier?.[0] ? mark.code[1] : 0;
    let from = event;
    while (!codes[place - 1] && from >= 0 && event - from < 2000) {
      if (events.processor[from] === events.processor[event]) place = events.place[from];
      if (!codes[place - 1]) from--;
    }
    const code = codes[place - 1];
    if (!code) {
      this.code.replaceChildren(make("p", { className: "quiet", textContent: "No driver's code is known here." }));
      return;
    }
    const where = code.line ? `${code.file}:${code.line}` : "";
    const head = make("p", { className: "where" }, [
      make("strong", { textContent: code.function ?? strings[place - 1] }),
      ` ${where}`,
      from < event ? make("span", { className: "quiet", textContent: ` since event ${from}` }) : "",
    ]);
    const lines = (all, is) =>
      make("pre", { tabIndex: 0 }, all.map(({ number, text, here }) => {
        const line = make("span", { className: here ? "line here" : "line" }, [
          make("span", { className: "number", textContent: number }),
          text || " ",
        ]);
        return line;
      }));
    const parts = [head];
    if (code.source?.length)
      parts.push(lines(code.source.map(({ line, text }) => ({ number: line, text, here: line === code.line }))));
    if (code.instructions?.length)
      parts.push(
        make("details", { open: !code.source?.length }, [
          make("summary", { textContent: "Instructions" }),
          lines(code.instructions.map(({ at, text }) => ({ number: `+0x${at.toString(16)}`, text, here: at === code.at }))),
        ]),
      );
    this.code.replaceChildren(...parts);
    for (const here of this.code.querySelectorAll(".here")) {
      const box = here.parentElement;
      box.scrollTop = here.offsetTop - box.clientHeight / 2;
    }
  }

  toggleTable() {
    this.table ??= new EventTable(this.tableElement, this.run, (event) => {
      this.select(event);
      this.canvas.scrollIntoView({ block: "nearest" });
      this.canvas.focus();
    });
    this.tableElement.hidden = !this.tableElement.hidden;
    this.tableButton.setAttribute("aria-pressed", String(!this.tableElement.hidden));
    if (!this.tableElement.hidden) this.table.show(Math.max(0, this.state.selected - TABLE_ROWS / 2), this.state.selected);
  }
}

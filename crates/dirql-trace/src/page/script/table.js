// The same run as a table, for who does not look at pictures: a part of it at a time.

const TABLE_ROWS = 100;

class EventTable {
  constructor(element, run, choose) {
    this.run = run;
    this.choose = choose;
    this.from = 0;
    this.element = element;
    this.body = make("tbody");
    const head = ["event", "step", "virtual time", "processor", "IRQL", "running", "what happened", "driver's code"];
    this.caption = make("caption");
    this.table = make("table", { className: "events" }, [
      this.caption,
      make("thead", {}, [make("tr", {}, head.map((text) => make("th", { scope: "col", textContent: text })))]),
      this.body,
    ]);
    this.table.setAttribute("aria-rowcount", run.events.count + 1);
    const move = (text, by) => make("button", { type: "button", textContent: text, onclick: () => this.show(this.from + by) });
    const buttons = make("div", { className: "pager" }, [
      move("Earlier events", -TABLE_ROWS),
      move("Later events", TABLE_ROWS),
    ]);
    const scroll = make("div", { className: "scroll", tabIndex: 0 }, [this.table]);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Events as a table");
    element.replaceChildren(buttons, scroll);
  }

  show(from, selected = -1) {
    const { events, strings } = this.run;
    this.from = Math.max(0, Math.min(from, events.count - TABLE_ROWS));
    const to = Math.min(this.from + TABLE_ROWS, events.count);
    this.caption.textContent = events.count
      ? `Events ${this.from.toLocaleString("en")} to ${(to - 1).toLocaleString("en")} of ${events.count.toLocaleString("en")}`
      : "No events";
    const rows = [];
    for (let event = this.from; event < to; event++) {
      const cells = [
        events.step[event],
        microseconds(events.time[event]),
        events.processor[event],
        levelText(events.irql[event]),
        contextName(events.context[event]),
        strings[events.text[event]],
        events.place[event] ? strings[events.place[event] - 1] : "",
      ];
      const number = make("button", { type: "button", textContent: event, onclick: () => this.choose(event) });
      number.setAttribute("aria-label", `Show event ${event} in the picture`);
      const row = make("tr", {}, [
        make("th", { scope: "row" }, [number]),
        ...cells.map((text) => make("td", { textContent: text })),
      ]);
      row.setAttribute("aria-rowindex", event + 2);
      if (event === selected) row.setAttribute("aria-current", "true");
      rows.push(row);
    }
    this.body.replaceChildren(...rows);
    this.body.querySelector("[aria-current]")?.scrollIntoView({ block: "center" });
  }
}

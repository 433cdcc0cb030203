// The page around the picture: what was found, what is shown, and a link to it.

(() => {
  const page = dataOf("page");
  const app = document.getElementById("app");
  const runs = document.querySelectorAll('script[id^="run-"]').length;
  let view = null;
  let shown = { finding: -1, run: -1 };

  // What the address says.
  function wanted() {
    return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  }

  let timer = 0;
  function note() {
    clearTimeout(timer);
    timer = setTimeout(noteNow, 120);
  }
  function noteNow() {
    const parts = new URLSearchParams();
    if (shown.finding >= 0) parts.set("finding", shown.finding);
    if (shown.run >= 0) parts.set("run", shown.run);
    if (view) {
      if (view.state.selected >= 0) parts.set("event", view.state.selected);
      parts.set("from", view.view.start.toFixed(1));
      parts.set("to", view.view.end.toFixed(1));
    }
    try {
      history.replaceState(null, "", `#${parts}`);
    } catch {
      // A page inside another one may have no address of its own.
    }
  }

  const content = make("main", { id: "content" });
  const items = [];
  const list = make("nav", { className: "list" });
  list.setAttribute("aria-label", "Findings and runs");

  function item(title, note, kind, action) {
    const button = make("button", { type: "button", className: `item ${kind}`, onclick: action }, [
      make("span", { className: "title", textContent: title }),
      make("span", { className: "note", textContent: note }),
    ]);
    items.push(button);
    return button;
  }

  function choose(button) {
    for (const one of items) one.removeAttribute("aria-current");
    button?.setAttribute("aria-current", "true");
  }

  function copyable(text) {
    const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
    button.onclick = async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
      }
    };
    return make("p", { className: "command" }, [make("code", { textContent: text, tabIndex: 0 }), button]);
  }

  function place(number, text, where, event) {
    const button = make("button", { type: "button", className: "place" }, [
      make("span", { className: "pin", textContent: number }),
      make("span", {}, [make("strong", { textContent: text }), make("span", { className: "where", textContent: where })]),
    ]);
    if (event === undefined) button.disabled = true;
    else button.onclick = () => view.select(event);
    return button;
  }

  function showFinding(number) {
    const finding = page.findings[number];
    shown = { finding: number, run: -1 };
    choose(findingItems[number]);
    const mark = finding.run ? loadRun(finding.run[0]).findings[finding.run[1]] : null;
    const places = make("div", { className: "places" });
    if (finding.earlier) places.append(place("1", finding.earlier[0], finding.earlier[1], mark?.earlier?.[0]));
    places.append(place(finding.earlier ? "2" : "!", finding.message, finding.place, mark?.event));
    const more = [];
    if (finding.help) more.push(make("p", {}, [make("strong", { textContent: "What to do: " }), finding.help]));
    if (finding.windows) more.push(make("p", {}, [make("strong", { textContent: "On Windows: " }), finding.windows]));
    if (finding.source) more.push(make("p", { className: "quiet" }, [make("strong", { textContent: "Source: " }), finding.source]));
    if (finding.needs) more.push(make("p", { className: "quiet", textContent: finding.needs }));
    const stage = make("div", { className: "run" });
    content.replaceChildren(
      make("section", { className: `finding ${finding.severity}` }, [
        make("h1", {}, [make("span", { className: "rule", textContent: finding.rule }), ` ${finding.headline}`]),
        places,
        make("details", {}, [make("summary", { textContent: "What to do, and how to see it again" }), ...more, ...(finding.replay ? [copyable(finding.replay)] : [])]),
      ]),
      stage,
    );
    view = null;
    if (finding.run) {
      view = new RunView(stage, finding.run[0], note);
      view.setMark(mark);
    } else stage.replaceChildren(make("p", { className: "quiet", textContent: "There is no timeline of this run; the command above shows it again." }));
    note();
  }

  function showRun(number) {
    shown = { finding: -1, run: number };
    choose(runItems[number]);
    const stage = make("div", { className: "run" });
    const run = loadRun(number);
    content.replaceChildren(
      make("section", { className: "finding" }, [
        make("h1", { textContent: run.name }),
        ...(run.replay ? [copyable(run.replay)] : []),
      ]),
      stage,
    );
    view = new RunView(stage, number, note);
    view.setMark(null);
    note();
  }

  function showOverview() {
    shown = { finding: -1, run: -1 };
    view = null;
    choose(items[0]);
    const facts = make("dl", { className: "facts" }, page.facts.flatMap(([name, text]) => [make("dt", { textContent: name }), make("dd", { textContent: text })]));
    const tables = page.tables.map(({ title, head, rows }) =>
      make("section", { className: "card" }, [
        make("h2", { textContent: title }),
        make("div", { className: "scroll", tabIndex: 0 }, [
          make("table", {}, [
            make("thead", {}, [make("tr", {}, head.map((text) => (text ? make("th", { scope: "col", textContent: text }) : make("td"))))]),
            make("tbody", {}, rows.map((row) => make("tr", {}, row.map((text) => make("td", { textContent: text }))))),
          ]),
        ]),
      ]),
    );
    const found = page.findings.map((finding, number) =>
      make("button", { type: "button", className: `item ${finding.severity}`, onclick: () => showFinding(number) }, [
        make("span", { className: "title", textContent: `${finding.rule} ${finding.headline}` }),
        make("span", { className: "note", textContent: [finding.message, finding.place, finding.needs].filter(Boolean).join(" · ") }),
      ]),
    );
    const findings = found.length ? [make("section", { className: "card found" }, [make("h2", { textContent: "What was found" }), ...found])] : [];
    content.replaceChildren(make("section", { className: "overview-page" }, [make("h1", { textContent: `${page.title}: ${page.verdict}` }), facts, ...findings, ...tables]));
    note();
  }

  const overviewItem = item("Overview", page.verdict, "plain", showOverview);
  const findingItems = page.findings.map((finding, number) =>
    item(finding.rule, finding.message, finding.severity, () => showFinding(number)),
  );
  const runItems = [];
  list.append(overviewItem);
  if (findingItems.length) list.append(make("h2", { textContent: findingItems.length === 1 ? "Finding" : `${findingItems.length} findings` }), ...findingItems);
  for (let number = 0; number < runs; number++) {
    const tied = page.findings.some((finding) => finding.run?.[0] === number);
    const name = tied && runs > 1 ? null : runs === 1 ? "Whole run" : dataOf(`run-${number}`).name;
    if (name !== null) runItems[number] = item(name, "timeline", "plain", () => showRun(number));
  }
  const ofRuns = runItems.filter(Boolean);
  if (ofRuns.length) list.append(make("h2", { textContent: ofRuns.length === 1 ? "Run" : "Runs" }), ...ofRuns);

  const theme = make("button", { type: "button", className: "theme", textContent: "◐", title: "Light or dark" });
  theme.setAttribute("aria-label", "Light or dark");
  theme.onclick = () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    recolour();
  };
  function recolour() {
    if (!view) return;
    view.picture.readColours();
    view.redraw();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

  const help = make("dialog", { className: "help" }, [
    make("h2", { textContent: "Keys" }),
    make("dl", {}, [
      ["← →", "previous, next event; with Shift on the same processor"],
      ["[ ]", "previous, next switch of the schedule"],
      ["1 2", "the two places of the finding"],
      ["f", "show the finding"],
      ["+ − 0", "zoom in, out, show everything"],
      ["/", "search; Enter goes to the next match"],
      ["t", "events as a table"],
      ["?", "this"],
    ].flatMap(([key, text]) => [make("dt", { textContent: key }), make("dd", { textContent: text })])),
    make("form", { method: "dialog" }, [make("button", { textContent: "Close" })]),
  ]);
  help.setAttribute("aria-label", "Keys");
  const helpButton = make("button", { type: "button", className: "theme", textContent: "?", title: "Keys (?)", onclick: () => help.showModal() });
  helpButton.setAttribute("aria-label", "Keys");

  app.replaceChildren(
    make("header", { className: "bar" }, [
      make("span", { className: "mark", textContent: "dirql" }),
      make("span", { className: "subject", textContent: page.title }),
      make("span", { className: `verdict ${page.outcome}`, textContent: page.verdict }),
      make("span", { className: "grow" }),
      helpButton,
      theme,
    ]),
    make("div", { className: "body" }, [list, content]),
    help,
  );
  app.hidden = false;

  addEventListener("keydown", (key) => {
    if (key.ctrlKey || key.metaKey || key.altKey || help.open) return;
    if (key.target.matches("input, select, textarea")) return;
    if (key.target.matches("pre, code, .scroll") && key.key.startsWith("Arrow")) return;
    if (key.key === "?") help.showModal();
    else if (!view?.key(key)) return;
    key.preventDefault();
  });

  function go() {
    const { finding, run, event, from, to } = wanted();
    const number = Number(finding ?? -1);
    if (page.findings[number]) showFinding(number);
    else if (runItems[Number(run ?? -1)]) showRun(Number(run));
    else if (finding === undefined && run === undefined && location.hash.length > 1) showOverview();
    else if (page.findings.some((one) => one.run)) showFinding(page.findings.findIndex((one) => one.run));
    else if (page.findings.length) showFinding(0);
    else if (runItems[0]) showRun(0);
    else showOverview();
    if (!view) return;
    if (from !== undefined && to !== undefined && Number(to) > Number(from)) view.look(Number(from), Number(to));
    if (event !== undefined) view.select(Number(event), { keep: from !== undefined });
  }
  addEventListener("hashchange", go);
  go();

  // For scripts that look at the page.
  window.dirql = {
    get view() {
      return view;
    },
  };
})();

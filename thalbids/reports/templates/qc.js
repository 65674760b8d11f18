"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = id => document.getElementById(id);
  const make = (tag, properties, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };
  const SIZE = 50;
  const order = Object.keys(data.states);
  const sort = {key: "state", down: false};
  let start = 0;

  data.rows.forEach((row, i) => {
    row.place = i;
    row.text = [row.name, data.states[row.state], row.problem, ...row.flags.map(i => data.flags[i])].join(" ").toLowerCase();
  });
  const counts = data.methods.map((_, i) => data.rows.filter(row => row.masks[i]?.cells[0]?.length).length);
  data.methods.forEach((method, i) => by("method").append(make("option", {value: i, textContent: `${method.label} (${counts[i]})`})));
  by("method").value = data.start;
  by("which").value = innerWidth >= 1500 ? "all" : "main";
  const selected = new Set();  // places of rows

  const cellsOf = row => row.masks[by("method").value]?.cells ?? [];
  const columns = () => [
    {key: "name", label: "Session", title: "Opens the report", value: row => row.name},
    {key: "state", label: "State", title: "The worst first", value: row => order.indexOf(row.state)},
    {key: "flags", label: "Flags", title: "By their number", value: row => -row.flags.length},
    {key: "worst", label: "Largest outlier", title: "Over all measures and methods, by |z|", value: row => row.worst.length ? -Math.abs(row.worst[0]) : null},
    {key: "status", label: "Mask", title: "Status of the mask of the chosen method", value: row => row.masks[by("method").value]?.status ?? null},
    ...data.columns.map((head, i) => ({key: "m" + i, ...head, number: true, main: i < data.main, usual: data.methods[by("method").value]?.usual[i], cell: row => cellsOf(row)[i] ?? []})),
    ...data.general.map((head, i) => ({key: "g" + i, ...head, number: true, main: i < 2 && innerWidth > 1100, cell: row => row.general[i]})),
  ].filter(column => !column.number || column.key === sort.key || ((column.main || by("which").value === "all") && data.rows.some(row => column.cell(row).length))
  ).map(column => column.cell ? {...column, value: row => column.cell(row)[0] ?? null} : column);

  const natural = new Intl.Collator("en", {numeric: true});
  const sorted = rows => {
    const column = columns().find(column => column.key === sort.key) ?? columns()[1];
    const sign = sort.down ? -1 : 1;
    return rows.map(row => [column.value(row), row]).sort(([a, one], [b, two]) => {
      if (a === null || b === null) return (a === null) - (b === null) || one.place - two.place;  // what is missing comes last
      return sign * (typeof a === "string" ? natural.compare(a, b) : a - b) || one.place - two.place;
    }).map(pair => pair[1]);
  };
  const filtered = () => {
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = by("state").value, outliers = by("outliers").checked;
    return data.rows.filter(row => words.every(word => row.text.includes(word)) && (!state || row.state === state)
      && (!outliers || Math.abs(row.worst[0] ?? 0) > data.outlier));
  };

  const link = row => row.page ? make("a", {href: row.page, textContent: row.name}) : make("span", {textContent: row.name});
  const badge = row => make("span", {className: "state " + row.state, textContent: data.states[row.state]});
  const picture = row => row.picture
    ? make("img", {src: row.picture, loading: "lazy", alt: "Axial and coronal slice of " + row.name + " with its thalamus masks", width: 140, height: 70})
    : "";
  const worst = row => row.worst.length ? `${row.worst[1]}, z ${row.worst[0]}`.replace("z -", "z \u2212") : "";
  const number = (cell, digits) => cell.length ? cell[0].toFixed(digits ?? 2).replace("-", "\u2212") : "";

  const tick = (checked, label, change) => {
    const box = make("input", {type: "checkbox", checked, onchange: event => change(event.target.checked)});
    box.setAttribute("aria-label", label);
    return box;
  };
  const told = () => {
    by("export").textContent = selected.size ? `Export ${selected.size} selected (TSV)` : "Export what is listed (TSV)";
    by("none").hidden = !selected.size;
  };
  // a cell of the file: no tab or line end, and nothing that a spreadsheet program takes for a formula
  const cellText = value => String(value ?? "n/a").replace(/[\t\r\n]+/g, " ").replace(/^(?=[=+@']|-(?![\d.]))/, "'");
  const save = () => {
    const rows = sorted(filtered()), wanted = selected.size ? data.rows.filter(row => selected.has(row.place)) : rows;
    const method = data.methods[by("method").value]?.label ?? "";
    const head = ["participant_id", "session_id", "state", "flags", "largest_outlier", "method", "status", ...data.columns.map(c => c.label), ...data.general.map(c => c.label)];
    const lines = wanted.map(row => [...(row.name.includes(" ") ? row.name.split(" ") : [row.name, "n/a"]), data.states[row.state],
      row.flags.map(i => data.flags[i]).join(" ") || row.problem || "n/a", worst(row) || "n/a", method, row.masks[by("method").value]?.status ?? "n/a",
      ...data.columns.map((_, i) => cellsOf(row)[i]?.[0]), ...data.general.map((_, i) => row.general[i][0])]);
    const text = [head, ...lines].map(line => line.map(cellText).join("\t")).join("\n") + "\n";
    const link = make("a", {href: URL.createObjectURL(new Blob([text], {type: "text/tab-separated-values"})), download: "qc_sessions.tsv"});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  const table = rows => {
    const all = columns();
    const head = make("tr", {}, make("th", {scope: "col"}, tick(rows.every(row => selected.has(row.place)), "Select all sessions of this page", on => {
      for (const row of rows) selected[on ? "add" : "delete"](row.place);
      draw();
    })));
    for (const column of all) {
      const th = make("th", {scope: "col", title: column.title}, make("button", {type: "button", textContent: column.label, onclick: () => {
        sort.down = sort.key === column.key && !sort.down;
        sort.key = column.key;
        start = 0;
        draw();
        by("content").querySelector(`th[data-key=${column.key}] button`).focus();
      }}));
      th.dataset.key = column.key;
      th.setAttribute("aria-sort", sort.key !== column.key ? "none" : sort.down ? "descending" : "ascending");
      if (column.usual?.[1] != null) th.append(make("small", {textContent: `median ${column.usual[1]}`.replace("-", "\u2212")}), make("small", {textContent: `n ${column.usual[0]}`}));
      head.append(th);
    }
    const body = make("tbody", {});
    for (const row of rows) {
      const flags = row.flags.map(i => make("li", {textContent: data.flags[i]}));
      const tr = make("tr", {}, make("td", {className: "pick"}, tick(selected.has(row.place), "Select " + row.name, on => {
        selected[on ? "add" : "delete"](row.place);
        told();
      }), picture(row)), make("th", {scope: "row"}, link(row)), make("td", {}, badge(row)),
        make("td", {}, flags.length ? make("ul", {}, ...flags) : row.problem),
        make("td", {className: Math.abs(row.worst[0] ?? 0) > data.outlier ? "out" : "", textContent: worst(row)}));
      for (const column of all.slice(4)) {
        if (!column.number) { tr.append(make("td", {textContent: column.value(row) ?? ""})); continue; }
        const cell = column.cell(row), out = Math.abs(cell[1] ?? 0) > data.outlier;
        tr.append(make("td", {className: out ? "number out" : "number", textContent: number(cell, column.digits),
          title: cell.length > 1 ? `robust z ${cell[1]}` : ""}));
      }
      body.append(tr);
    }
    const box = make("div", {className: "scroll", tabIndex: 0}, make("table", {}, make("thead", {}, head), body));
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Sessions");
    return box;
  };
  const cards = rows => make("div", {className: "cards"}, ...rows.map(row => make("article", {}, picture(row),
    make("p", {}, link(row), " ", badge(row)), make("p", {textContent: row.problem || worst(row)}))));

  const draw = () => {
    const rows = sorted(filtered());
    start = Math.min(start, Math.max(0, rows.length - 1));
    start -= start % SIZE;
    const shown = rows.slice(start, start + SIZE);
    by("where").textContent = rows.length ? `${start + 1} to ${start + shown.length} of ${rows.length} sessions` : "no session fits";
    by("back").disabled = start === 0;
    by("next").disabled = start + SIZE >= rows.length;
    told();
    by("content").replaceChildren(by("view").value === "table" ? table(shown) : cards(shown));
  };
  const restart = () => { start = 0; draw(); };
  document.querySelector(".bar").addEventListener("input", restart);
  document.querySelector(".bar").addEventListener("submit", event => event.preventDefault());
  by("export").addEventListener("click", save);
  by("none").addEventListener("click", () => { selected.clear(); draw(); });
  by("back").addEventListener("click", () => { start -= SIZE; draw(); });
  by("next").addEventListener("click", () => { start += SIZE; draw(); });
  for (const element of document.querySelectorAll(".bar, .pager")) element.hidden = false;
  draw();
})();

// What the console does beyond pages and forms, all of it optional: parts that go on by themselves, ages that stay true, charts, keys,
// copying, light and dark. Without it every page still says everything and every form still works.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // --- ages ------------------------------------------------------------------------------------------------------------------------
  const coarse = (s) => s < 120 ? `${s} s` : s < 7200 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`;
  function ages(root = document) {
    for (const time of $$("time[datetime]", root)) {
      const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (Number.isNaN(seconds)) continue;
      // What is due begins at any moment; it did not happen some seconds ago.
      const text = seconds < 0 ? `in ${coarse(-seconds)}` : "due" in time.dataset ? "now" : `${coarse(seconds)} ago`;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // --- the same as a command and as a call ------------------------------------------------------------------------------------------
  const shellWord = (word) => /^[\w\-./:=@]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  // The command knows days by these names; the API takes their dates.
  function date(word) {
    const ago = ["today", "yesterday"].indexOf(word);
    return ago < 0 ? word : new Date(Date.now() - ago * 864e5).toISOString().slice(0, 10);
  }
  // What the inputs of a form say now, by what they are called in a command (data-flag) and in a call (data-key).
  function say(form) {
    const flags = [], body = {}, query = new URLSearchParams();
    for (const field of [...form.elements].filter((field) => field.dataset.key)) {
      const { flag, key, list, number } = field.dataset;
      if (field.type === "checkbox") {
        if (field.checked) { flags.push(flag); body[key] = true; }
        continue;
      }
      const text = field.value.trim() || (field.required && field.placeholder) || "";
      const words = list === undefined ? [text] : text.split(/[\s,]+/);
      for (const word of words.filter((word) => word)) {
        flags.push(`${flag} ${shellWord(word)}`.trim());
        query.append(key, word);
        if (list !== undefined) (body[key] ??= []).push(date(word));
        else body[key] = number === undefined ? word : Number(word);
      }
    }
    const put = (where, text) => $$(where, form).forEach((span) => { if (span.textContent !== text(span)) span.textContent = text(span); });
    put("[data-flags]", () => flags.map((flag) => ` ${flag}`).join(""));
    put("[data-body]", (span) => JSON.stringify({ ...body, ...JSON.parse(span.dataset.body) }).replaceAll("'", "\\u0027"));
    put("[data-query]", () => `${query}` && `?${query}`);
  }
  // Where the console is, only the browser knows: there may be a proxy before it.
  function sayAll(root = document) {
    for (const console of $$("[data-console]", root)) console.textContent = location.origin;
    $$("form:has([data-key])", root).forEach(say);
  }
  for (const kind of ["input", "change"]) document.addEventListener(kind, ({ target: { form } }) => { if (form?.matches(":has([data-key])")) say(form); });

  // --- charts ----------------------------------------------------------------------------------------------------------------------
  const charts = new Map();
  // As it is now, in light or dark: the property alone names both.
  function colour(name) {
    const root = document.documentElement;
    root.style.color = `var(${name})`;
    const { color } = getComputedStyle(root);
    root.style.color = "";
    return color;
  }
  const clock = (t, seconds) => new Date(t * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hourCycle: "h23" });
  const short = (v) => v == null ? "–" : Math.abs(v) >= 1e6 ? `${(v / 1e6).toFixed(1)} M` : Math.abs(v) >= 1e4 ? `${(v / 1e3).toFixed(1)} k` : Number.isInteger(v) ? v.toLocaleString("en") : v.toFixed(1);
  const FEW = 3;
  function draw(figure) {
    if (typeof uPlot === "undefined") return;
    const { x, series, from, to, open } = JSON.parse(figure.dataset.chart);
    // What goes on is no part of the line: it has a line of its own, dashed, from the last that is over.
    const over = x.length - (open ? 1 : 0);
    const only = (is) => series.map((line) => line.values.map((value, at) => is(at) ? value : null));
    const data = [x, ...only((at) => at < over), ...(open ? only((at) => at >= over - 1) : [])];
    const names = series.map((line) => line.name).join("\n");
    const known = charts.get(figure);
    if (known?.names !== names) known?.plot.destroy();
    const shown = { names, over, plot: known?.names === names ? known.plot : plot(figure, data, series, from != null) };
    charts.set(figure, shown);
    figure.classList.add("drawn");
    shown.plot.setData(data);
    // As wide as the page says, not as there are values: one that has begun just now is as wide as any other.
    if (from != null) shown.plot.setScale("x", { min: from, max: to });
    legend(figure, shown);
  }
  function plot(figure, data, series, fixed) {
    const box = $(".plot", figure) || figure.insertBefore(Object.assign(document.createElement("div"), { className: "plot" }), figure.firstChild);
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const few = (u, line) => u.data[line].filter((value) => value != null).length < FEW;
    const strokes = series.map((_, at) => colour(`--series-${at % 8 + 1}`));
    return new uPlot({
      width: box.clientWidth || 300, height: 180, legend: { show: false },
      // What moves by itself cannot be held at a part.
      cursor: { points: { size: 6 }, drag: fixed ? { x: false, y: false } : {} },
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
      axes: [{ ...axis, space: 70, size: 30, values: (_, ticks, __, ___, step) => ticks.map((t) => clock(t, step < 60)) },
        { ...axis, size: 52, values: (_, ticks) => ticks.map(short) }],
      series: [{}, ...strokes.map((stroke) => ({ stroke, width: 2, points: { show: few, size: 6, fill: stroke } })),
        ...(data.length > series.length + 1 ? strokes : []).map((stroke) => ({
          stroke, width: 2, dash: [4, 4], points: { show: true, size: 8, width: 2, fill: colour("--card"), filter: (u) => [u.data[0].length - 1] },
        }))],
      hooks: { setCursor: [() => charts.has(figure) && legend(figure, charts.get(figure))] },
    }, data, box);
  }
  // What a person points at, or the newest that is over.
  function legend(figure, { plot, over }) {
    const at = plot.cursor.idx ?? Math.max(over - 1, 0);
    const values = $$("figcaption b", figure);
    values.forEach((value, line) => { value.textContent = short(plot.data[line + 1]?.[at] ?? plot.data[line + 1 + values.length]?.[at]); });
  }
  const drawAll = () => $$("figure[data-chart]").forEach(draw);
  function redrawAll() {
    for (const { plot } of charts.values()) plot.destroy();
    charts.clear();
    $$("figure[data-chart] .plot").forEach((box) => box.remove());
    drawAll();
  }
  // Colours are drawn as they are at that moment.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  function forget() {
    for (const [figure, { plot }] of charts) if (!figure.isConnected) { plot.destroy(); charts.delete(figure); }
  }
  new ResizeObserver(() => {
    forget();
    for (const [figure, { plot }] of charts) {
      const width = $(".plot", figure).clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: 180 });
    }
  }).observe(document.documentElement);

  // --- parts that go on ------------------------------------------------------------------------------------------------------------
  // What is there already stays there, with its focus, its selection and what a person has opened; only what differs is changed.
  function morph(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) { from.replaceWith(to.cloneNode(true)); return; }
    if (from.nodeType !== Node.ELEMENT_NODE) { if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue; return; }
    // A chart that is drawn says so in its class, which is its own affair.
    const drawn = (name) => name === "class" && from.dataset?.chart;
    for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value && !drawn(name)) from.setAttribute(name, value);
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && name !== "open" && !drawn(name)) from.removeAttribute(name);
    }
    if (from.dataset?.chart) {
      // The plot is the script's own, the rest is the page's: names that stay while the values change say something wrong.
      for (const part of ["svg", "figcaption"]) morph($(`:scope > ${part}`, from), $(`:scope > ${part}`, to));
      draw(from);
      return;
    }
    const [has, wants] = [[...from.childNodes], [...to.childNodes]];
    wants.forEach((child, at) => has[at] ? morph(has[at], child) : from.append(child.cloneNode(true)));
    has.slice(wants.length).forEach((child) => child.remove());
  }
  function patch(parts) {
    for (const [id, html] of Object.entries(parts)) {
      const section = $(`section[data-part="${CSS.escape(id)}"]`);
      if (!section) continue;
      const tail = $("[data-tail]", section);
      const follows = tail && tail.scrollHeight - tail.scrollTop - tail.clientHeight < 40;
      const wanted = document.createElement("section");
      for (const { name, value } of [...section.attributes]) wanted.setAttribute(name, value);
      wanted.innerHTML = html;
      ages(wanted);
      sayAll(wanted);
      morph(section, wanted);
      sayAll(section);
      forget();
      $$("figure[data-chart]", section).forEach((figure) => { if (!charts.has(figure)) draw(figure); });
      const now = $("[data-tail]", section);
      if (now && follows) now.scrollTop = now.scrollHeight;
    }
  }

  const live = $("#live"), lost = $("#lost");
  const words = { live: "Live", waiting: "Reconnecting", off: "Paused" };
  function show(state) {
    if (!live) return;
    live.hidden = false;
    live.dataset.state = state;
    $(".word", live).textContent = words[state];
  }
  let source = null, since = null, wait = 1000, again = 0;
  function connect() {
    source = new EventSource(document.body.dataset.stream);
    source.onopen = () => { wait = 1000; since = null; lost.hidden = true; show("live"); };
    source.addEventListener("parts", (event) => { $(".missing")?.remove(); patch(JSON.parse(event.data)); });
    source.addEventListener("problem", (event) => {
      const note = $(".missing") || $("#main").insertBefore(Object.assign(document.createElement("p"), { className: "missing problem", role: "alert" }), $("#main").firstChild);
      note.textContent = `${JSON.parse(event.data).words} – what you see is from before.`;
    });
    source.onerror = () => {
      source.close();
      since ??= new Date();
      $(".since", lost).textContent = ` since ${since.toLocaleTimeString()}`;
      lost.hidden = false;
      show("waiting");
      again = setTimeout(connect, wait);
      wait = Math.min(wait * 1.5, 5000);
    };
  }
  // A page that nobody sees holds no connection: a browser has six of them for all its tabs, and the seventh tab would never load.
  function leave() {
    source?.close();
    source = null;
    clearTimeout(again);
  }
  function watch() {
    if (!document.body.dataset.stream) return;
    if (document.visibilityState === "hidden") {
      leave();
      show("off");
    } else if (!source) connect();
  }

  // --- keys ------------------------------------------------------------------------------------------------------------------------
  function keys() {
    let dialog = $("#keylist");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "keylist";
      dialog.setAttribute("aria-label", "Keyboard keys");
      const rows = $$("nav a[data-key]").map((a) => [`g ${a.dataset.key}`, a.textContent]);
      rows.push(["r", "Run, on a job's page"], ["/", "To the first field"], ["t", "Light or dark"], ["?", "These keys"], ["Esc", "Away with this"]);
      const list = document.createElement("dl");
      for (const [key, what] of rows) {
        const dt = document.createElement("dt"), dd = document.createElement("dd");
        dt.append(Object.assign(document.createElement("kbd"), { textContent: key }));
        dd.textContent = what;
        list.append(dt, dd);
      }
      const heading = Object.assign(document.createElement("h2"), { textContent: "Keys" });
      const close = Object.assign(document.createElement("button"), { className: "button", textContent: "Close" });
      close.addEventListener("click", () => dialog.close());
      dialog.append(heading, list, close);
      document.body.append(dialog);
    }
    dialog.open ? dialog.close() : dialog.showModal();
  }
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.tagName === "TEXTAREA") event.target.form.requestSubmit();
      return;
    }
    if (going && Date.now() - going < 1500) {
      going = 0;
      const link = $(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const does = {
      g: () => { going = Date.now(); },
      "?": keys,
      t: theme,
      "/": () => $("main input:not([type=hidden]), main textarea")?.focus(),
      r: () => { const run = $("[data-key-run]"); if (run) { run.closest("details")?.setAttribute("open", ""); run.focus(); } },
    }[event.key];
    if (does) { event.preventDefault(); does(); }
  });

  // --- light and dark ---------------------------------------------------------------------------------------------------------------
  function theme() {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", document.documentElement.dataset.theme); } catch { /* nothing may be kept: it lasts as long as the page */ }
    redrawAll();
  }

  // --- copying ---------------------------------------------------------------------------------------------------------------------
  document.addEventListener("click", async (event) => {
    const command = event.target.closest("[data-copy]");
    if (!command || String(getSelection())) return;
    try { await navigator.clipboard.writeText(command.textContent); } catch { return; }
    command.dataset.copied = "";
    setTimeout(() => delete command.dataset.copied, 1200);
  });

  document.addEventListener("DOMContentLoaded", () => {
    for (const [id, act] of [["theme", theme], ["keys", keys]]) {
      const button = document.getElementById(id);
      button.hidden = false;
      button.addEventListener("click", act);
    }
    $$("[data-copy]").forEach((command) => { command.tabIndex = 0; command.setAttribute("role", "button"); });
    document.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === " ") && event.target.matches?.("[data-copy]")) { event.preventDefault(); event.target.click(); }
    });
    drawAll();
    sayAll();
    setInterval(ages, 1000);
    const tail = $("[data-tail]");
    if (tail) tail.scrollTop = tail.scrollHeight;
    watch();
    document.addEventListener("visibilitychange", watch);
    addEventListener("pagehide", leave);
    // Back from the browser's memory.
    addEventListener("pageshow", (event) => event.persisted && watch());
  });
})();

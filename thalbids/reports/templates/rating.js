"use strict";
(() => {
const about = JSON.parse(document.getElementById("about").textContent);
const element = id => document.getElementById(id);
const items = about.items.map(([id, kind]) => ({id, kind}));
let rater = "", at = 0, ratings = {}, kept = true, unsaved = false;

// what is kept in the browser, per page and rater: two raters of one computer do not meet
const place = () => "thalbids-rating-" + about.page + "-" + rater;
function keep() {
  unsaved = Object.keys(ratings).length > 0;
  try {
    localStorage.setItem(place(), JSON.stringify({ratings, at}));
    kept = true;
  } catch (error) {
    if (kept) say("This browser does not keep your progress for this page. Save the table before you close it.");
    kept = false;
  }
}
function recall() {
  try {
    const found = JSON.parse(localStorage.getItem(place()) || "{}");
    ratings = found.ratings || {};
    at = Math.min(items.length - 1, Math.max(0, found.at || 0));
  } catch (error) {
    ratings = {};
    at = 0;
  }
  keep();
  unsaved = false;
}
function say(text) {
  element("said").textContent = text;
  element("said").hidden = false;
}

const clean = text => String(text).replace(/[\s\u0000-\u001f\u007f]+/g, " ").trim();
const current = () => ratings[items[at].id];
function own() {
  return ratings[items[at].id] ||= {rating: "", reasons: [], other: "", comment: ""};
}
const rated = item => Boolean(ratings[item.id] && ratings[item.id].rating);

function draw(index) {  // pictures wait as text until they are needed
  return JSON.parse(element("i" + items[index].id).textContent);
}
function show(index) {
  leave();
  at = Math.max(0, Math.min(items.length - 1, index));
  const item = items[at], picture = element("picture");
  picture.innerHTML = draw(at);  // written by thalbids, holds no text of anybody
  const svg = picture.firstElementChild;
  picture.setAttribute("aria-label", "picture " + (at + 1));
  element("empty").hidden = svg.dataset.drawn === "1";
  element("question").textContent = about.questions[item.kind];
  const list = element("reasons");
  list.replaceChildren(...about.reasons[item.kind].map((reason, number) => {
    const button = document.createElement("button"), key = document.createElement("kbd");
    button.type = "button";
    button.dataset.reason = reason;
    key.textContent = number + 1;
    button.append(key, " " + reason);
    button.addEventListener("click", () => toggle(reason));
    return button;
  }));
  element("other").value = current()?.other || "";
  element("comment").value = current()?.comment || "";
  scrollTo(0, 0);
  refresh();
}
function refresh() {
  const mine = current(), done = items.filter(rated).length;
  element("where").textContent = (at + 1) + " of " + items.length;
  element("done").textContent = done + " rated";
  element("bar").value = done;
  for (const button of document.querySelectorAll("[data-rating]"))
    button.setAttribute("aria-pressed", String(mine?.rating === button.dataset.rating));
  for (const button of document.querySelectorAll("[data-reason]"))
    button.setAttribute("aria-pressed", String(Boolean(mine?.reasons.includes(button.dataset.reason))));
  element("why").hidden = !(mine && (mine.rating === "fail" || mine.rating === "unsure"));
  keep();
}
function rate(rating) {
  own().rating = rating;
  refresh();
  if (rating === "pass") forward();
}
function toggle(reason) {
  const mine = current();
  if (!mine || mine.rating === "" || mine.rating === "pass") return;
  mine.reasons = mine.reasons.includes(reason) ? mine.reasons.filter(r => r !== reason) : [...mine.reasons, reason];
  refresh();
}
function forward() {
  if (at < items.length - 1) show(at + 1);
  else if (items.every(rated)) offer();
}
function nextOpen() {
  for (let step = 1; step <= items.length; step++) {
    const index = (at + step) % items.length;
    if (!rated(items[index])) return show(index);
  }
  offer();
}
function leave() {
  if (document.activeElement && document.activeElement !== document.body) document.activeElement.blur();
}

// a text that a spreadsheet program would take for a formula gets a ' in front; so does one that has one already
const cell = text => {
  const plain = clean(text);
  return plain ? (/^[=+\-@']/.test(plain) ? "'" + plain : plain) : "n/a";
};
function why(mine) {
  return mine.rating === "pass" ? "" : [...mine.reasons, clean(mine.other)].filter(Boolean).join("; ");
}
function table() {
  const rows = items.filter(rated).map(item => {
    const mine = ratings[item.id];
    const row = {page: about.page, item: item.id, rater, rating: mine.rating, reason: why(mine), comment: mine.comment};
    return about.columns.map(name => cell(row[name])).join("\t");
  });
  return [about.columns.join("\t"), ...rows].join("\n") + "\n";
}
function save(extension, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type}));
  const who = rater.replace(/[^0-9A-Za-z]+/g, "") || "rater";
  link.download = "ratings_" + about.page + "_" + who + "." + extension;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
function offer() {
  leave();
  const open = items.length - items.filter(rated).length;
  element("left").textContent = open ? open + " of " + items.length + " pictures have no rating yet. You can save now and again later."
    : "All " + items.length + " pictures are rated.";
  element("copied").textContent = "";
  if (!element("export").open) element("export").showModal();
  element("tsv").focus();
}
async function copy() {
  try {
    await navigator.clipboard.writeText(table());
    element("copied").textContent = "Copied.";
    unsaved = false;
  } catch (error) {
    element("copied").textContent = "This browser does not let the page copy. Save the table in place of it.";
  }
}

function keyed(event) {
  if (element("start").hidden === false || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target instanceof Element ? event.target : document.body, typing = target.matches("input, textarea");
  if (document.querySelector("dialog[open]")) return;
  if (typing) {
    if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) { event.preventDefault(); leave(); }
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const large = element("picture").classList.contains("large");
  if (!large && /^Arrow(Up|Down)$/.test(key)) return;  // they scroll the page
  const actions = {
    p: () => rate("pass"), f: () => rate("fail"), u: () => rate("unsure"), c: () => element("comment").focus(),
    o: () => { if (!element("why").hidden) element("other").focus(); }, n: nextOpen, e: lines, z: zoom, s: offer,
    x: () => { delete ratings[items[at].id]; show(at); }, "?": () => element("keys").showModal(),
    ArrowUp: () => element("picture").scrollBy(0, -120), ArrowDown: () => element("picture").scrollBy(0, 120),
    ArrowLeft: () => show(at - 1), ArrowRight: () => show(at + 1),
  };
  if (key === "Enter" && !target.matches("button")) actions.Enter = forward;
  if (/^[1-9]$/.test(key)) {
    const reason = about.reasons[items[at].kind][Number(key) - 1];
    if (reason) actions[key] = () => toggle(reason);
  }
  if (actions[key]) { event.preventDefault(); actions[key](); }
}
function lines() {
  const bare = element("picture").classList.toggle("bare");
  element("lines").setAttribute("aria-pressed", String(!bare));
}

function zoom() {
  const picture = element("picture"), large = picture.classList.toggle("large");
  element("zoom").setAttribute("aria-pressed", String(large));
  picture.scrollTo((picture.scrollWidth - picture.clientWidth) / 2, (picture.scrollHeight - picture.clientHeight) / 2);
}

element("start").addEventListener("submit", event => {
  event.preventDefault();
  rater = clean(element("rater").value);
  if (!rater) return;
  element("start").hidden = true;
  document.querySelector("main").hidden = false;
  recall();
  show(at);
});
for (const button of document.querySelectorAll("[data-rating]"))
  button.addEventListener("click", () => { rate(button.dataset.rating); leave(); });
const presses = {
  back: () => show(at - 1), next: () => show(at + 1), open: nextOpen, lines, zoom, save: offer, copy,
  help: () => element("keys").showModal(),
  tsv: () => { save("tsv", "text/tab-separated-values", table()); unsaved = false; },
  json: () => save("json", "application/json", JSON.stringify(about.dictionary, null, 2) + "\n"),
};
for (const [id, action] of Object.entries(presses)) element(id).addEventListener("click", action);
for (const button of document.querySelectorAll("dialog .close"))
  button.addEventListener("click", () => button.closest("dialog").close());
for (const name of ["other", "comment"])
  element(name).addEventListener("input", event => { own()[name] = event.target.value; keep(); });
addEventListener("keydown", keyed);
addEventListener("beforeunload", event => { if (unsaved && !kept) event.preventDefault(); });
element("rater").focus();
})();

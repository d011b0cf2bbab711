"use strict";
// The live page: /history once, then /events, and /actors/rows of the kinds that are open.
const $ = (id) => document.getElementById(id);
/** Kinds that are started on demand: none alive is no fault. */
const ON_DEMAND = new Set(["issuer"]);
/** Series and counts that are worth a look when they are not zero. */
const ALARMING = new Set(["503", "restarts", "refresh theft", "refresh ahead", "login refused", "verify refused", "refresh refused", "retried", "refused", "expired", "deferred"]);
const FAULTS = [["crash", "panic"], ["error", "error"], ["hang", "hang"], ["slow", "slow"]];
const SLOW_MS = 200;
/** Actors shown below a kind. */
const ROWS = 50;
const POINTS = 600;
let series = [];
let points = [];
let faults = false;
let handled = new Map();

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Writes only what has changed: readers, selections and the layout are left alone. */
function write(node, text, className) {
  if (node.textContent !== text) node.textContent = text;
  if (className !== undefined && node.className !== className) node.className = className;
}

/** Exact below ten thousand, then 1.23M: it fits where it stands. */
const count = (n) => n.toLocaleString("en", n < 1e4 ? { maximumFractionDigits: n < 10 ? 2 : 0 } : { notation: "compact", maximumFractionDigits: 2 });
const sum = (pairs) => pairs.reduce((all, pair) => all + pair.at(-1), 0);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
/** A tenant's issuer by its slug; one without a slug is shared: `issuer/shared-3`. */
const nameOf = (row) => (row.tenant ? `${row.kind}/${row.slug ?? row.tenant}` : `${row.kind} ${row.id}`);
const words = (failure) => `${clock(failure.at_s)} ${failure.reason}${failure.why && failure.why !== failure.reason ? `: ${failure.why}` : ""}`;

/** 12 ms, 3 s, 4 min. */
function brief(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 120000) return `${Math.floor(ms / 1000)} s`;
  return ms < 7200000 ? `${Math.floor(ms / 60000)} min` : `${Math.floor(ms / 3600000)} h`;
}

/** The bound below which 99 of 100 durations lie. */
function p99({ buckets = [], count: all = 0 } = {}) {
  if (!all) return "—";
  const bucket = buckets.find(([, below]) => below >= all * 0.99);
  if (!bucket) return "> 2 s";
  return bucket[0] < 0.001 ? `${+(bucket[0] * 1e6).toPrecision(3)} µs` : `${+(bucket[0] * 1e3).toPrecision(3)} ms`;
}

// ---- the last ten minutes

const sparks = new Map();

function spark(name) {
  if (sparks.has(name)) return sparks.get(name);
  const svg = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);
  const made = { tile: element("li"), value: element("b"), unit: element("small"), image: svg("svg"), area: svg("path"), line: svg("path") };
  made.image.setAttribute("viewBox", `0 0 ${POINTS} 20`);
  made.image.setAttribute("preserveAspectRatio", "none");
  made.image.setAttribute("role", "img");
  made.area.setAttribute("class", "area");
  made.image.append(made.area, made.line);
  made.tile.append(element("span", "", name), made.value, made.unit, made.image);
  $("sparks").append(made.tile);
  sparks.set(name, made);
  return made;
}

function drawSparks() {
  series.forEach(([name, unit], at) => {
    const made = spark(name);
    const values = points.map(([, all]) => all[at]);
    const [now, most] = [values.at(-1) ?? 0, Math.max(0, ...values)];
    const [top, left] = [most || 1, POINTS - values.length];
    const line = values.map((value, x) => `${left + x} ${(19 - (18 * value) / top).toFixed(1)}`).join("L");
    made.line.setAttribute("d", line && `M${line}`);
    made.area.setAttribute("d", line && `M${left} 20L${line}L${POINTS} 20Z`);
    write(made.value, count(now));
    write(made.unit, `${unit}, most ${count(most)}`);
    made.image.setAttribute("aria-label", `${name} over ${values.length} seconds: now ${count(now)}, at most ${count(most)} ${unit}`);
    made.tile.classList.toggle("alarm", ALARMING.has(name) && most > 0);
  });
}

// ---- the tree

const branches = new Map();

function stat(name) {
  const made = element("span", "stat");
  const value = element("span");
  made.append(element("i", "", name), value);
  return [made, value];
}

/** Buttons that make an actor, or the first of a kind, fail. */
function faultButtons(target, name) {
  const made = element("span", "faults");
  for (const [label, fault] of FAULTS) {
    const button = element("button", "", label);
    button.type = "button";
    button.setAttribute("aria-label", `${label} ${name}`);
    button.addEventListener("click", () => inject(target, name, fault));
    made.append(button);
  }
  return made;
}

/** What is not an actor, for ten seconds. */
function outsideButtons() {
  $("outside").hidden = false;
  for (const [label, target, fault] of [["drop the database", "database", "drop"], ["refuse mail", "mail", "refuse"]]) {
    const button = element("button", "", label);
    button.type = "button";
    button.addEventListener("click", () => inject(target, target, fault, 10000));
    $("outside").append(button);
  }
}

async function inject(actor, name, fault, ms = fault === "slow" ? SLOW_MS : 0) {
  const body = JSON.stringify({ actor: String(actor), fault, ms });
  const answer = await fetch("/v1/admin/faults", { method: "POST", headers: { "Content-Type": "application/json" }, body }).catch((error) => error);
  const said = answer.ok ? `${name}: ${fault}${ms ? ` ${ms} ms` : ""}` : `${name}: ${(await answer.json?.().catch(() => 0))?.detail ?? answer.message ?? answer.status}`;
  write($("told"), said);
}

function branch(kind) {
  if (branches.has(kind.kind)) return branches.get(kind.kind);
  const [node, summary] = [element("details"), element("summary")];
  const made = { node, name: element("span", "name", kind.kind), why: element("span", "why"), values: {}, inside: element("div", "inside"), actors: element("ul", "actors"), rows: new Map() };
  summary.append(made.name);
  for (const name of ["alive", "depth", "rate", "wait", "busy", "restarts"]) {
    const [shown, value] = stat(name === "rate" ? "" : name);
    made.values[name] = value;
    summary.append(shown);
  }
  summary.append(made.why);
  node.append(summary, made.inside, made.actors);
  for (const name of ["permits", "shed", "expired", "rounds"]) {
    const [shown, value] = stat(name);
    shown.hidden = true;
    made.values[name] = value;
    made.inside.append(shown);
  }
  node.addEventListener("toggle", () => node.open && drawRows(kind.kind, made));
  branches.set(kind.kind, made);
  (branches.get(kind.parent)?.node ?? $("tree")).append(node);
  return made;
}

function set(made, name, text, bad) {
  write(made.values[name], text, bad ? "bad" : "");
  made.values[name].parentNode.hidden = text === "";
}

function drawKind(kind, seconds) {
  const made = branch(kind);
  const restarts = sum(kind.restarts);
  const before = handled.get(kind.kind);
  const rate = before === undefined ? 0 : Math.max(0, kind.handled - before) / seconds;
  set(made, "alive", kind.alive || !ON_DEMAND.has(kind.kind) ? count(kind.alive) : "none", !kind.alive && !ON_DEMAND.has(kind.kind));
  set(made, "depth", count(kind.depth));
  set(made, "rate", `${count(Math.round(rate))}/s`);
  set(made, "wait", p99(kind.wait));
  set(made, "busy", p99(kind.busy));
  set(made, "restarts", count(restarts), restarts);
  set(made, "permits", kind.permits ? `${count(kind.permits_in_use)} of ${count(kind.permits)}` : "", kind.permits_in_use > 0.8 * kind.permits);
  set(made, "shed", kind.shed ? count(kind.shed) : "", true);
  set(made, "expired", kind.expired ? count(kind.expired) : "", true);
  const rounds = kind.periodic;
  set(made, "rounds", rounds ? `${count(rounds.succeeded)} well, ${count(rounds.failed)} failed${rounds.failed ? `: ${rounds.last_error}` : ""}` : "", rounds?.failed_in_row);
  const last = kind.failures.at(-1);
  write(made.why, last ? words(last) : "");
  if (made.node.open) drawRows(kind.kind, made);
}

/** The actors of a kind that is open. */
async function drawRows(kind, made) {
  if (made.asking) return;
  made.asking = true;
  try {
    const { rows, total } = await ask(`/actors/rows?kind=${kind}&limit=${ROWS}`);
    const seen = new Set(rows.map((row) => row.id));
    for (const [id, { line }] of made.rows) if (!seen.has(id)) { line.remove(); made.rows.delete(id); }
    rows.forEach((row) => drawRow(made, row));
    made.more ??= made.node.insertBefore(element("p", "note inside"), made.actors.nextSibling);
    write(made.more, total > rows.length ? `${rows.length} of ${count(total)}: those that need a look first` : "");
    made.more.hidden = total <= rows.length;
  } catch { /* the next second asks again */ }
  made.asking = false;
}

function drawRow(made, row) {
  let shown = made.rows.get(row.id);
  if (!shown) {
    shown = { line: element("li"), state: element("span"), numbers: element("span", "soft"), why: element("span", "why") };
    shown.line.append(element("span", "name", nameOf(row)), shown.state, shown.numbers, shown.why);
    if (faults && row.kind !== "mailer") shown.line.append(faultButtons(row.id, nameOf(row)));
    made.rows.set(row.id, shown);
    made.actors.append(shown.line);
  }
  const bad = row.state === "backing_off" || row.state === "down";
  const lasting = { busy: ` ${brief(row.busy_ms)}`, backing_off: ` ${brief(row.backoff_ms)}` }[row.state] ?? "";
  write(shown.state, `${row.state.replace("_", " ")}${lasting}${row.message ? ` at ${row.message}` : ""}`, bad ? "bad" : "");
  const facts = { alive: bad ? "" : brief(row.alive_ms), children: row.children ? count(row.children) : "", depth: count(row.depth), handled: count(row.handled), restarts: count(row.restarts) };
  const told = Object.entries(facts).filter(([, value]) => value).map(([name, value]) => `${name} ${value}`.replaceAll(" ", "\u00a0"));
  write(shown.numbers, told.join(" · "));
  write(shown.why, row.last_failure ? `${words(row.last_failure)} (${row.failed_in_row} in a row)` : "");
}

// ---- the rest

/** Names beside values; a value that stands for trouble stands out. */
function list(id, entries) {
  const nodes = entries.flatMap(([name, chips]) => {
    const value = element("dd");
    value.append(...chips.map(([text, n, alarm]) => {
      const chip = element("span", n ? (alarm ? "bad" : "") : "soft", `${text} `);
      chip.append(element("b", "", typeof n === "number" ? count(n) : n));
      return chip;
    }));
    return [element("dt", "", name), value];
  });
  $(id).replaceChildren(...nodes);
}

/** One line for what fails in the same way again and again; the latest first. */
function alike(failures) {
  const lines = new Map();
  for (const failure of failures) {
    const key = `${failure.id} ${failure.reason} ${failure.why}`;
    const line = lines.get(key);
    if (line) Object.assign(line, { times: line.times + 1, since: failure.at_s });
    else lines.set(key, { failure, times: 1, since: failure.at_s });
  }
  return [...lines.values()];
}

function drawPanels(tree) {
  const failures = alike(tree.actors.flatMap((kind) => kind.failures).sort((a, b) => b.at_s - a.at_s)).slice(0, 20);
  $("failures").replaceChildren(...failures.map(({ failure, times, since }) => {
    const made = element("li");
    made.append(element("time", "", clock(failure.at_s)), element("b", "", nameOf(failure)), ` ${failure.reason}: ${failure.why}`);
    if (times > 1) made.append(element("b", "bad", ` ${times} times since ${clock(since)}`));
    return made;
  }));
  if (!failures.length) $("failures").append(element("li", "soft", "none since this process started"));
  const verbs = new Map();
  for (const [verb, outcome, n] of tree.outcomes) {
    if (!verbs.has(verb)) verbs.set(verb, []);
    verbs.get(verb).push([outcome.replaceAll("_", " "), n, ALARMING.has(`${verb} ${outcome}`)]);
  }
  const [admitted, refused] = tree.tenant_limit;
  list("outcomes", [...verbs, ["tenant limit", [["admitted", admitted], ["refused", refused, true]]], ["stepped up", [["tenants", tree.stepped_up, true]]]]
    .map(([verb, chips]) => [verb.replaceAll("_", " "), chips]));
  const oldest = tree.mail.oldest_due_us === null ? "none waits" : brief(Math.max(0, Date.now() - Math.round(tree.mail.oldest_due_us / 1000)));
  list("mails", [...tree.mails.map(([state, n]) => [state, [["", n, ALARMING.has(state)]]]), ["oldest", [["", oldest]]], ["codes", tree.mail.codes]]);
  const { pool } = tree;
  list("ledgers", [
    ...tree.ledgers.map(({ kind, batch, flush, failed }) => [kind.replace("ledger.", ""), [
      ["flushes", batch.count], ["rows each", batch.count ? batch.sum / batch.count : 0], ["p99", p99(flush)], ["failed", failed, true]]]),
    ["connections", [["open", pool.connections], ["idle", pool.idle], ["waiting", pool.waiting, true]]],
    ["refused", pool.refused.map(([reason, n]) => [reason.replace("_", " "), n, true])],
    ...tree.swept.map(({ table, rows }) => [table.replace("_", " "), [["rows deleted", rows]]])]);
}

// ---- what comes

function say(text, className) {
  write($("state"), text, className);
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`answer ${answer.status}`);
  return answer.json();
}

function show(now) {
  const { point, tree } = now;
  if (now.faults && !faults) outsideButtons();
  faults = now.faults;
  const seconds = Math.max(1, point[0] - (points.at(-1)?.[0] ?? point[0] - 1));
  points = [...points.filter(([at]) => at < point[0]), point].slice(-POINTS);
  drawSparks();
  tree.actors.forEach((kind) => drawKind(kind, seconds));
  handled = new Map(tree.actors.map((kind) => [kind.kind, kind.handled]));
  drawPanels(tree);
  const restarting = tree.actors.filter((kind) => sum(kind.restarts) && kind.failures.some((one) => point[0] - one.at_s < 10)).map((kind) => kind.kind);
  const { refuses } = tree.pool;
  if (refuses) say(`the database refuses statements: ${refuses.replace("_", " ")}`, "bad");
  else if (tree.silent.length) say(`silent: ${tree.silent.join(", ")}`, "bad");
  else if (restarting.length) say(`restarting: ${restarting.join(", ")}`, "bad");
  else say("all answer", "good");
}

const events = new EventSource("/events");
events.addEventListener("open", async () => {
  // what was missed while nobody listened
  const past = await ask("/history").catch(() => null);
  if (past) ({ series, points } = past);
});
events.addEventListener("message", (event) => show(JSON.parse(event.data)));
/** The browser asks again by itself, but for an answer that is none. */
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
  waiting = setTimeout(() => say("doorcode does not answer; trying again", "bad"), 3000);
});
let waiting;
events.addEventListener("message", () => clearTimeout(waiting));

"use strict";
// Draws what the gateway serves, and follows /sse/all. Computes no levels of
// its own: walls, flip, nodes and wells come finished.

const $ = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const INK = { text: css("--text"), dim: css("--dim"), line: css("--line"), mark: css("--mark"),
              plus: [67, 147, 230], minus: [224, 88, 79], ground: [23, 29, 35] };

/** What is on the screen. `null` is "not known", never zero. */
const state = { symbol: null, vendor: null, spot: null, heatmap: null, gex: null, gravity: null, context: null };

// ---------------------------------------------------------------- numbers

const grouped = (x, digits = 2) =>
  x === null || x === undefined || !Number.isFinite(x) ? "no data"
    : x.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const price = (x) => (Number.isFinite(x) ? String(+x.toFixed(2)) : "none");

/** 1234567 as 1.23 M. */
function short(x) {
  if (!Number.isFinite(x)) return "none";
  const size = Math.abs(x);
  for (const [unit, by] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (size >= by) return `${(x / by).toPrecision(3)} ${unit}`;
  }
  return size === 0 ? "0" : String(+x.toPrecision(3));
}

/** From red (minus) over the ground to blue (plus); t lies in -1..1. */
function diverging(t) {
  const end = t < 0 ? INK.minus : INK.plus;
  const by = Math.min(1, Math.abs(t)) ** 0.7;
  return `rgb(${INK.ground.map((g, i) => Math.round(g + (end[i] - g) * by)).join(",")})`;
}

/** About `count` round numbers that span lo..hi. */
function ticks(lo, hi, count) {
  const span = hi - lo;
  if (!(span > 0)) return [lo];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let x = Math.ceil(lo / step) * step; x <= hi + step * 1e-9; x += step) found.push(+x.toFixed(9));
  return found;
}

// ---------------------------------------------------------------- data

/** One question for a token at a time; a wrong one is asked for again. */
let login = null;
function logIn() {
  login ??= (async () => {
    const token = prompt("This server asks for a token.");
    if (!token) throw new Error("no token was given");
    const headers = { Authorization: `Bearer ${token.trim()}` };
    const response = await fetch("/api/v1/session", { method: "POST", headers });
    if (!response.ok) throw new Error(`the token was refused: ${response.status}`);
  })().finally(() => { login = null; });
  return login;
}

async function fetchData(path) {
  let response = await fetch(path);
  if (response.status === 401) { await logIn(); response = await fetch(path); }
  if (response.status === 404 || response.status === 503) return null;
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()).data;
}

async function loadSymbols() {
  const known = (await fetchData("/api/v1/symbols")) ?? [];
  const select = $("symbol");
  const listed = [...select.options].map((o) => o.value).join();
  if (listed !== known.map((k) => k.symbol).join()) {
    select.replaceChildren(...known.map((k) => {
      const option = new Option(k.symbol, k.symbol);
      option.dataset.vendor = k.vendor_symbol;
      return option;
    }));
    const wanted = state.symbol ?? decodeURIComponent(location.hash.slice(1));
    const best = known.find((k) => k.symbol === wanted)
      ?? known.find((k) => k.families.includes("heatmap")) ?? known[0];
    if (best) {
      select.value = best.symbol;
      if (best.symbol !== state.symbol) await choose(best.symbol, best.vendor_symbol);
    }
  }
  if (known.length === 0) redraw();
}

async function choose(symbol, vendor) {
  Object.assign(state, { symbol, vendor, spot: null, heatmap: null, gex: null, gravity: null, context: null });
  redraw();
  await Promise.all([loadHeatmap(), loadGex(), loadGravity(), loadSpot()]);
}

/** Loads into the state, unless another symbol was chosen meanwhile. */
async function load(part, path, pick = (x) => x) {
  const symbol = state.symbol;
  const data = await fetchData(path);
  if (symbol !== state.symbol) return;
  state[part] = data === null ? null : pick(data);
  redraw();
}

const loadHeatmap = () => load("heatmap", `/api/models/heatmap/${encodeURIComponent(state.vendor)}`);
const loadGex = () => load("gex", `/api/v1/artifacts/${encodeURIComponent(state.symbol)}/gex`);
const loadSpot = () => load("spot", "/api/models/spot", (all) => all[state.vendor] ?? null);
const loadGravity = () => Promise.all([
  load("gravity", `/api/dealer-gravity/artifact?symbol=${encodeURIComponent(state.symbol)}`),
  load("context", `/api/dealer-gravity/context?symbol=${encodeURIComponent(state.symbol)}`),
]);

/** Runs at once, then at most every `ms`; the last call always counts. */
function throttled(run, ms) {
  let timer = null, again = false;
  return () => {
    if (timer !== null) { again = true; return; }
    Promise.resolve(run()).catch(console.error);
    timer = setTimeout(function tick() {
      if (again) { again = false; Promise.resolve(run()).catch(console.error); timer = setTimeout(tick, ms); }
      else timer = null;
    }, ms);
  };
}

function follow() {
  const stream = new EventSource("/sse/all");
  const show = (text, kind) => { $("link").textContent = text; $("link").className = kind; };
  const gexSoon = throttled(loadGex, 1000), gravitySoon = throttled(loadGravity, 1000);
  const symbolsSoon = throttled(loadSymbols, 2000);
  const on = (name, take) => stream.addEventListener(name, (event) => take(JSON.parse(event.data)));
  const everything = throttled(async () => {
    await loadSymbols();
    if (state.symbol) await Promise.all([loadHeatmap(), loadGex(), loadGravity(), loadSpot()]);
  }, 1000);
  on("connected", () => { show("live", "live"); everything(); });
  on("resync", everything);
  on("spot", (all) => {
    if (all[state.vendor]) { state.spot = all[state.vendor]; redraw(); }
    if (Object.keys(all).length > $("symbol").options.length) symbolsSoon();
  });
  on("heatmap", (model) => {
    if (model.symbol === state.vendor) { state.heatmap = model; redraw(); }
    else if (!state.symbol) symbolsSoon();
  });
  on("heatmap_diff", (diff) => {
    const held = state.heatmap;
    if (diff.symbol !== state.vendor) return;
    if (!held) { loadHeatmap(); return; }
    if (diff.version <= held.version) return;
    Object.assign(held.tiles, diff.changed);
    for (const key of diff.removed ?? []) delete held.tiles[key];
    Object.assign(held, { version: diff.version, ts: diff.ts, dtes_available: diff.dtes_available ?? held.dtes_available });
    redraw();
  });
  on("gex", (gex) => { if (gex.symbol === state.vendor) gexSoon(); else if (!state.symbol) symbolsSoon(); });
  on("dealer_gravity_artifact_updated", (told) => { if (told.symbol === state.symbol) gravitySoon(); else symbolsSoon(); });
  on("artifact", (told) => { if (told.symbol === state.symbol && told.family === "context") gravitySoon(); });
  stream.onerror = () => show("connection lost, trying again", "lost");
}

// ---------------------------------------------------------------- drawing

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; drawHeader(); drawHeatmap(); drawGex(); drawGravity(); });
}

/** A canvas of the screen's resolution, cleared; `null` shows why it is empty. */
function surface(id, why) {
  const canvas = $(id), plot = canvas.parentElement;
  plot.classList.toggle("without", why !== null);
  if (why !== null) { plot.querySelector(".empty").textContent = why; return null; }
  const scale = devicePixelRatio || 1, width = plot.clientWidth, height = plot.clientHeight;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const g = canvas.getContext("2d");
  g.scale(scale, scale);
  g.font = "11px system-ui, sans-serif";
  g.textBaseline = "middle";
  return { g, width, height };
}

function text(g, what, x, y, color = INK.dim, align = "left") {
  g.fillStyle = color;
  g.textAlign = align;
  g.fillText(what, x, y);
}

const spotValue = () => {
  const value = state.spot?.value ?? state.gex?.body?.spot ?? state.gravity?.meta?.spot;
  return Number.isFinite(value) ? value : null;
};

function drawHeader() {
  const levels = state.gex?.body?.levels;
  $("spot").textContent = grouped(spotValue());
  $("net").textContent = Number.isFinite(levels?.net) ? `${short(levels.net)} $ per 1 %` : "no data";
  $("flip").textContent = levels ? (Number.isFinite(levels.flip?.nearest) ? price(levels.flip.nearest) : "none") : "no data";
  $("alignment").textContent = state.context ? state.context.gamma_alignment ?? "unknown" : "no data";
  const epoch = state.heatmap?.epoch ?? state.gex?.header?.epoch;
  $("epoch").textContent = epoch ? epoch.slice(0, 12) : "no data";
  $("epoch").title = epoch ?? "";
  $("as-of").textContent = (state.spot?.ts ?? state.gex?.header?.created_at ?? "no data")
    .replace("T", " ").replace(/(\.\d{3})\d*/, "$1").replace("+00:00", " UTC").replace(/Z$/, " UTC");
}

/** Field of a tile's side (or of the tile) and its name; layers that a strategy
 *  lacks are not offered. */
function heatmapLayer(strategy) {
  const single = strategy === "single";
  const layers = [["debit", "debit", single ? "mid" : "debit"], ["natural", "natural debit", single ? "natural" : "natural_debit"]];
  if (strategy === "butterfly") layers.push(["density", "implied density per point", "density"], ["parity", "call less put debit", "parity_gap"]);
  if (strategy === "vertical") layers.push(["probability", "probability beyond the strikes", "probability"]);
  const select = $("layer");
  if ([...select.options].map((o) => o.value).join() !== layers.map((l) => l[0]).join()) {
    const held = select.value;
    select.replaceChildren(...layers.map(([value, name]) => new Option(name, value)));
    if (layers.some((l) => l[0] === held)) select.value = held;
  }
  const [, name, field] = layers.find((l) => l[0] === select.value) ?? layers[0];
  return [field, name];
}

function drawHeatmap() {
  const strategy = $("strategy").value, side = $("side").value, model = state.heatmap;
  const [layer, layerName] = heatmapLayer(strategy);
  const dtes = model?.dtes_available ?? [];
  const select = $("dte");
  if ([...select.options].map((o) => +o.value).join() !== dtes.join()) {
    const held = select.value;
    select.replaceChildren(...dtes.map((d) => new Option(String(d), String(d))));
    if (dtes.map(String).includes(held)) select.value = held;
  }
  $("dte-label").hidden = strategy === "single";
  const dte = +select.value, spot = spotValue();
  const cells = [];
  const columns = new Set(), rows = new Set();
  let ineligible = 0;
  for (const tile of Object.values(model?.tiles ?? {})) {
    if (tile.strategy !== strategy || (strategy !== "single" && tile.dte !== dte)) continue;
    const wanted = side === "both" ? (spot !== null && tile.strike <= spot ? "put" : "call") : side;
    const value = layer === "parity_gap" ? tile.parity_gap : tile[wanted]?.[layer];
    const column = strategy === "single" ? tile.dte : tile.width;
    columns.add(column);
    rows.add(tile.strike);
    const flag = layer === "parity_gap" ? tile.parity_flag : tile[wanted]?.flag;
    if (Number.isFinite(value)) cells.push({ column, row: tile.strike, value, flag });
    else ineligible += 1;
  }
  $("heatmap-definition").textContent = model ? `${strategy} ${layerName}, v${model.version}` : "";
  const why = !model ? "no heatmap of this symbol yet"
    : cells.length === 0 ? `no ${strategy} tile${strategy === "single" ? "" : ` at ${Number.isFinite(dte) && dtes.length ? dte : "any"} DTE`} has a price on this side` : null;
  const flagged = cells.filter((c) => c.flag).length;
  $("heatmap-legend").textContent = why ? "" : `${cells.length} tiles priced, ${ineligible} without a price (dark); yellow line: spot. `
    + (strategy === "single" ? "Columns: days to expiry. Brighter blue: dearer, per column."
      : "Columns: width in points. Blue: below the middle of its width; red: above.")
    + (flagged ? ` ${flagged} outlined: outside of what arbitrage allows, so a quote is stale or crossed.` : "");
  const s = surface("heatmap", why);
  if (!s) return;
  const { g, width, height } = s;
  const left = 56, top = 20, right = 8, bottom = 6;
  const xs = [...columns].sort((a, b) => a - b), ys = [...rows].sort((a, b) => b - a);
  const w = (width - left - right) / xs.length, h = (height - top - bottom) / ys.length;
  const column = new Map(xs.map((x, i) => [x, i])), row = new Map(ys.map((y, i) => [y, i]));
  const scales = new Map(xs.map((x) => {
    const values = cells.filter((c) => c.column === x).map((c) => c.value).sort((a, b) => a - b);
    const at = (q) => values[Math.min(values.length - 1, Math.floor(q * values.length))];
    return [x, { middle: at(0.5), low: at(0.02), high: at(0.98) }];
  }));
  for (const { column: x, row: y, value, flag } of cells) {
    const { middle, low, high } = scales.get(x);
    const reach = value < middle ? middle - low : high - middle;
    const t = strategy === "single" ? (high > low ? (value - low) / (high - low) : 0.5)
      : reach > 0 ? (middle - value) / reach : 0;
    const px = left + column.get(x) * w, py = top + row.get(y) * h;
    g.fillStyle = diverging(t);
    g.fillRect(px + 0.5, py, Math.max(1, w - 1), Math.max(1, h > 4 ? h - 0.5 : h + 0.3));
    if (flag) { g.strokeStyle = INK.mark; g.strokeRect(px + 1, py + 0.5, Math.max(1, w - 2), Math.max(1, h - 1.5)); }
    if (h >= 12 && w >= 40) text(g, layer === "density" ? value.toFixed(5) : value.toFixed(2), px + w / 2, py + h / 2, INK.text, "center");
  }
  for (const x of xs) text(g, strategy === "single" ? `${x} d` : String(x), left + (column.get(x) + 0.5) * w, 9, INK.dim, "center");
  const every = Math.max(1, Math.ceil(14 / h));
  ys.forEach((y, i) => { if (i % every === 0) text(g, price(y), left - 6, top + (i + 0.5) * h, INK.dim, "right"); });
  if (spot !== null && ys.length > 1) {
    // Rows are strikes, not a scale: the spot lies between two of them.
    const below = ys.findIndex((y) => y <= spot);
    const at = below < 0 ? ys.length : below;
    const y = top + at * h;
    g.strokeStyle = INK.mark;
    g.beginPath(); g.moveTo(left, y); g.lineTo(width - right, y); g.stroke();
    g.fillStyle = `rgb(${INK.ground.join(",")})`;
    g.fillRect(0, y - 7, left - 1, 14);
    text(g, price(spot), left - 6, y, INK.mark, "right");
  }
}

/** The strikes around spot that hold nearly all of what there is. */
function window98(strikes, size) {
  const total = strikes.reduce((sum, s) => sum + size(s), 0);
  if (!(total > 0)) return strikes;
  let lo = 0, hi = strikes.length - 1, cut = total * 0.02;
  while (lo < hi) {
    const [a, b] = [size(strikes[lo]), size(strikes[hi])];
    if (Math.min(a, b) > cut) break;
    cut -= Math.min(a, b);
    if (a <= b) lo += 1; else hi -= 1;
  }
  return strikes.slice(lo, hi + 1);
}

function drawGex() {
  const whole = state.gex, body = whole?.body;
  const known = (body?.by_strike ?? []).filter((s) => Number.isFinite(s.strike));
  const why = !body ? "no gamma exposure of this symbol yet" : known.length === 0 ? "no contract has both gamma and open interest" : null;
  $("gex-definition").textContent = body ? `${whole.header.profile}, v${whole.header.version}` : "";
  const levels = body?.levels ?? {};
  $("gex-legend").textContent = why ? "" : `$ per 1 % move of the underlying. Call wall ${price(levels.call_wall)}, put wall ${price(levels.put_wall)}, `
    + `peak ${price(levels.peak)}, flip ${price(levels.flip?.nearest)}${levels.flip?.method ? ` (${levels.flip.method})` : ""}.`;
  const s = surface("gex", why);
  if (!s) return;
  const { g, width, height } = s;
  const sides = $("gex-mode").value === "sides";
  const strikes = window98(known, (x) => Math.abs(x.call ?? 0) + Math.abs(x.put ?? 0));
  const left = 8, right = 8, top = 34, bottom = 18;
  const lo = strikes[0].strike, hi = strikes[strikes.length - 1].strike;
  const gaps = strikes.slice(1).map((x, i) => x.strike - strikes[i].strike);
  const gap = gaps.length ? Math.min(...gaps) : 1;
  const x = (k) => left + ((k - lo + gap / 2) / (hi - lo + gap)) * (width - left - right);
  const parts = (b) => (sides ? [b.call, b.put] : [b.net]).filter(Number.isFinite);
  const max = Math.max(...strikes.flatMap(parts).map(Math.abs), Number.MIN_VALUE);
  const zero = top + (height - top - bottom) / 2, unit = (height - top - bottom) / 2 / max;
  const w = Math.max(1, Math.min(18, ((width - left - right) * gap) / (hi - lo + gap) - 1));
  for (const bar of strikes) {
    for (const value of parts(bar)) {
      g.fillStyle = value < 0 ? css("--minus") : css("--plus");
      g.fillRect(x(bar.strike) - w / 2, Math.min(zero, zero - value * unit), w, Math.max(0.5, Math.abs(value) * unit));
    }
  }
  g.strokeStyle = INK.line;
  g.beginPath(); g.moveTo(left, zero); g.lineTo(width - right, zero); g.stroke();
  for (const k of ticks(lo, hi, width / 90)) text(g, price(k), x(k), height - 8, INK.dim, "center");
  text(g, `${short(max)}`, left, top + 6);
  text(g, `-${short(max)}`, left, height - bottom - 6);
  marks(g, [["call wall", levels.call_wall, css("--plus")], ["put wall", levels.put_wall, css("--minus")],
    ["flip", levels.flip?.nearest, INK.text], ["spot", spotValue(), INK.mark]], x, lo, hi, top, height - bottom, width);
}

/** Vertical lines with labels that do not cover each other. */
function marks(g, named, x, lo, hi, top, bottom, width) {
  const taken = [];
  for (const [name, at, color] of named) {
    if (!Number.isFinite(at) || at < lo || at > hi) continue;
    const label = `${name} ${price(at)}`, px = x(at), half = g.measureText(label).width / 2 + 4;
    const center = Math.min(width - half, Math.max(half, px));
    let line = 0;
    while (taken.some((t) => t.line === line && Math.abs(t.center - center) < t.half + half)) line += 1;
    taken.push({ line, center, half });
    g.strokeStyle = color;
    g.setLineDash([4, 3]);
    g.beginPath(); g.moveTo(px, 7 + line * 11 + 6); g.lineTo(px, bottom); g.stroke();
    g.setLineDash([]);
    text(g, label, center, 7 + line * 11, color, "center");
  }
}

function drawGravity() {
  const artifact = state.gravity, profile = artifact?.profile;
  const why = !artifact ? "no volume profile of this symbol yet" : !profile?.bins?.some((b) => b > 0) ? "no volume has traded yet" : null;
  const meta = artifact?.meta ?? {}, structures = artifact?.structures ?? {};
  $("gravity-definition").textContent = artifact ? `${meta.profile ?? meta.algorithm}, ${meta.artifact_version}${meta.proxy?.symbol ? `, from ${meta.proxy.symbol}` : ""}` : "";
  const memory = structures.market_memory_strength;
  $("gravity-legend").textContent = why ? "" : `Scaled 0 to ${meta.normalized_scale ?? 1000}. Yellow: volume nodes; shaded: volume wells; hatched red: crevasses. `
    + `Market memory ${Number.isFinite(memory) ? memory : "unknown"}.`;
  const s = surface("gravity", why);
  if (!s) return;
  const { g, width, height } = s;
  const { min, step, bins } = profile;
  const left = 8, right = 8, top = 22, bottom = 18;
  const hiPrice = min + step * bins.length;
  const x = (p) => left + ((p - min) / (hiPrice - min)) * (width - left - right);
  const base = height - bottom, unit = (base - top) / Math.max(...bins);
  const span = ([a, b]) => [x(a), Math.max(1, x(b + step) - x(a))];
  for (const well of structures.volume_wells ?? []) {
    const [px, w] = span(well);
    g.fillStyle = "rgba(139,152,165,0.16)";
    g.fillRect(px, top, w, base - top);
  }
  const w = (width - left - right) / bins.length;
  g.fillStyle = "#5d7a94";
  bins.forEach((bin, i) => {
    if (bin > 0) g.fillRect(x(min + i * step), base - bin * unit, Math.max(0.6, w > 3 ? w - 1 : w), bin * unit);
  });
  for (const node of structures.volume_nodes ?? []) {
    const at = typeof node === "number" ? node : node.price, i = Math.round((at - min) / step);
    const tall = (bins[i] ?? 0) * unit;
    g.fillStyle = INK.mark;
    g.fillRect(x(at), base - tall, Math.max(1, w > 3 ? w - 1 : w), Math.max(2, tall));
  }
  for (const crevasse of structures.crevasses ?? []) {
    const [px, wide] = span(crevasse);
    g.save();
    g.beginPath(); g.rect(px, base - 12, wide, 12); g.clip();
    g.strokeStyle = css("--minus");
    g.beginPath();
    for (let d = px - 12; d < px + wide; d += 5) { g.moveTo(d, base); g.lineTo(d + 12, base - 12); }
    g.stroke();
    g.restore();
  }
  for (const p of ticks(min, hiPrice, width / 90)) if (p <= hiPrice) text(g, price(p), x(p), height - 8, INK.dim, "center");
  const lines = (artifact.structural_lines ?? []).map((l) => ["line", typeof l === "number" ? l : l.price, INK.dim]);
  marks(g, [["spot", spotValue(), INK.mark], ...lines], x, min, hiPrice, top, base, width);
}

// ---------------------------------------------------------------- start

$("symbol").addEventListener("change", (event) => {
  const option = event.target.selectedOptions[0];
  history.replaceState(null, "", `#${encodeURIComponent(option.value)}`);
  choose(option.value, option.dataset.vendor).catch(console.error);
});
for (const id of ["strategy", "side", "dte", "layer", "gex-mode"]) $(id).addEventListener("change", redraw);
addEventListener("resize", redraw);
redraw();
// A stream that is refused is never tried again, so the question comes first.
loadSymbols().catch(console.error).finally(follow);

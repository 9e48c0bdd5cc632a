// A failing history as one HTML page that needs nothing else: no script, no font, no network. Light and dark follow the reader's system.
//
// For each key without an order: what cannot be explained, in words; the picture (clients as rows, operations as bars over time, a dot
// and a line where the longest order has them, the contradiction framed); and the same operations as a table, which also those can
// read who cannot see the picture. picture-layout.ts says where things stand.

import { type Bar, barHeight, type Failure, type Layout, layOut } from "./picture-layout.ts";
import type { Model, Operation } from "./specification.ts";

const maxKeys = 10;
const maxText = 400;
const maxName = 12;

export interface PictureOptions {
  /** What was checked, for the heading; a file's name for example. */
  readonly title: string;
  /** A time of the history as a reader likes it. */
  readonly describeTime: (time: number) => string;
}

/** The page for the keys that failed, one section each, for the first ten of them. */
export function drawPicture<O extends Operation, S>(
  failures: readonly Failure<O, S>[],
  model: Model<O, S>,
  { title, describeTime }: PictureOptions,
): string {
  const sections = failures.slice(0, maxKeys).map((failure) => section(failure, model, describeTime));
  const more = failures.length - sections.length;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not linearizable: ${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>Not linearizable: ${escapeHtml(title)}</h1>
<p>Every operation should seem to take effect at one instant between its call and its return. Here no order of such instants
explains what the clients saw.</p>
${legend}
${sections.join("\n")}
${more > 0 ? `<p>${count(more, "more key")} without an order, not shown.</p>` : ""}
</body>
</html>
`;
}

function section<O extends Operation, S>(
  failure: Failure<O, S>,
  model: Model<O, S>,
  describeTime: (time: number) => string,
): string {
  const { operation: stuck, order, state } = failure.contradiction;
  const layout = layOut(failure, model);
  const hidden = layout.earlier === 0 ? "" : `<p>${escapeHtml(hiddenText(layout))}</p>`;
  return `<section>
<h2>Key ${escapeHtml(JSON.stringify(failure.key))}</h2>
<p>Nothing explains <strong>${escapeHtml(short(model.describe(stuck)))}</strong> of client ${escapeHtml(String(stuck.client))}, called at
${escapeHtml(describeTime(stuck.call))}, returned at ${escapeHtml(describeTime(stuck.return!))}. Without that return the history has an order,
of ${count(order.length, "operation")}, which leaves <strong>${escapeHtml(short(model.describeState(state)))}</strong>.</p>
${origin(failure, model, describeTime)}
${hidden}
<div class="scroll" tabindex="0" role="region" aria-label="Operations of key ${escapeHtml(failure.key)} over time">${drawing(layout, stuck, model)}</div>
${table(layout, stuck, model, describeTime)}
</section>`;
}

function hiddenText<O extends Operation>({ earlier, earlierOpen }: Layout<O>): string {
  const open =
    earlierOpen === 0 ? "" : ` ${count(earlierOpen, "operation")} of unknown outcome among them may still take effect.`;
  return `${count(earlier, "earlier operation")} of this key not shown.${open}`;
}

/** The operations that may have written what the contradiction saw: the first question in the search for the fault. */
function origin<O extends Operation, S>(
  { operations, contradiction: { operation: stuck, order } }: Failure<O, S>,
  model: Model<O, S>,
  describeTime: (time: number) => string,
): string {
  const { after } = model;
  if (after === undefined || !model.isRead(stuck)) return "";
  const writers = operations.filter((o) => o.outcome !== "fail" && !model.isRead(o) && after(o) === after(stuck));
  if (writers.length === 0)
    return after(stuck) === model.initial ? "" : "<p>No operation of the history wrote what it saw.</p>";
  const items = writers.slice(-5).map((o) => {
    const place = order.indexOf(o);
    const standing = place < 0 ? "not in the order" : `number ${place + 1} of the order`;
    const end = o.outcome === "ok" ? `returned at ${describeTime(o.return!)}` : "outcome unknown";
    return `<li>${escapeHtml(`${short(model.describe(o))} of client ${o.client}, called at ${describeTime(o.call)}, ${end}: ${standing}`)}</li>`;
  });
  const older = writers.length - items.length;
  return `<p>What it saw was written by:</p><ul>${items.join("")}</ul>${older > 0 ? `<p>and ${older} times before.</p>` : ""}`;
}

function drawing<O extends Operation, S>(layout: Layout<O>, stuck: O, model: Model<O, S>): string {
  const { width, height } = layout;
  const rows = layout.rows.map(({ client, top, height: rowHeight }) => {
    const name = escapeHtml(`client ${client}`.slice(0, maxName));
    const y = top + rowHeight / 2 + 4;
    return `<rect class="row" x="0" y="${top}" width="${round(width)}" height="${rowHeight}"/>
<text class="client" x="8" y="${y}">${name}</text><text class="client" x="${round(width - 8)}" y="${y}" text-anchor="end">${name}</text>`;
  });
  const path = layout.dots.map(({ x, y }) => `${round(x)},${y}`).join(" ");
  const dots = layout.dots.map(({ x, y }) => `<circle cx="${round(x)}" cy="${y}" r="3.5"/>`);
  return `<svg width="${round(width)}" height="${height}" viewBox="0 0 ${round(width)} ${height}" role="img" aria-label="the table below says the same">
${rows.join("\n")}
<polyline class="order" points="${path}"/>
${layout.bars.map((bar) => drawBar(bar, bar.operation === stuck, model)).join("\n")}
<g class="order">${dots.join("")}</g>
</svg>`;
}

function drawBar<O extends Operation, S>(bar: Bar<O>, isStuck: boolean, model: Model<O, S>): string {
  const { operation, left, right, top, openLeft, openRight } = bar;
  const kinds = [model.isRead(operation) ? "read" : "write"];
  if (isStuck) kinds.push("stuck");
  if (openRight) kinds.push("open");
  const from = openLeft ? "◂ " : "";
  return `<g class="${kinds.join(" ")}"><title>${escapeHtml(short(model.describe(operation)))}</title>
<rect x="${round(left)}" y="${top}" width="${round(right - left)}" height="${barHeight}" rx="4"/>
<text x="${round(left + 8)}" y="${top + 16}">${escapeHtml(from + bar.label)}${openRight ? " ▸" : ""}</text></g>`;
}

function table<O extends Operation, S>(
  layout: Layout<O>,
  stuck: O,
  model: Model<O, S>,
  describeTime: (time: number) => string,
): string {
  const rank = (bar: Bar<O>): number => bar.place ?? Number.POSITIVE_INFINITY;
  const lines = [...layout.bars]
    .sort((a, b) => (rank(a) === rank(b) ? a.operation.call - b.operation.call : rank(a) - rank(b)))
    .map(({ operation, place, openRight }) => {
      const standing = operation === stuck ? "cannot be placed" : (place ?? "–");
      const returned = operation.return === undefined ? "never" : describeTime(operation.return);
      const ended = operation.outcome === "unknown" ? "outcome unknown" : openRight ? `${returned}, later` : returned;
      const cells = [standing, operation.client, short(model.describe(operation)), describeTime(operation.call), ended];
      return `<tr${operation === stuck ? ' class="stuck"' : ""}>${cells.map((cell) => `<td>${escapeHtml(String(cell))}</td>`).join("")}</tr>`;
    });
  return `<details><summary>The same as a table</summary>
<table><thead><tr><th>Order</th><th>Client</th><th>Operation</th><th>Called</th><th>Returned</th></tr></thead>
<tbody>${lines.join("\n")}</tbody></table></details>`;
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

const short = (text: string): string => (text.length > maxText ? `${text.slice(0, maxText - 1)}…` : text);

const round = (pixels: number): number => Math.round(pixels * 10) / 10;

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character]!);

const legend = `<ul class="legend">
<li>A bar reaches from call to return; bars that do not overlap happened one after the other. Lengths are not to scale.</li>
<li>Numbers, dots and the line: the order that explains the most.</li>
<li>A dashed bar has no known end (▸): its outcome is unknown, or it was still running. One with ◂ began before what is shown.</li>
<li>The thick frame: the return that no order explains.</li>
</ul>`;

const style = `
:root { color-scheme: light dark; --text: #1c2024; --ground: #fff; --row: #f2f4f7; --read: #cfe3fb; --write: #d8eed3; --edge: #5b6673;
  --order: #6b4bb8; --stuck: #c4201d; --stuck-fill: #ffe1de; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --ground: #15181b; --row: #1f2428; --read: #1d3f66; --write: #234a2b;
  --edge: #98a3ae; --order: #b9a2f5; --stuck: #ff7b72; --stuck-fill: #57201d; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); margin: 2rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; overflow-wrap: anywhere; }
p, ul { max-width: 56rem; } p, li, td { overflow-wrap: anywhere; }
/* Scrolled to its right end, where the contradiction is. */
.scroll { direction: rtl; overflow-x: auto; border: 1px solid var(--edge); border-radius: 6px; margin: 1rem 0; }
svg { display: block; direction: ltr; } svg text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: var(--text); white-space: pre; }
.row { fill: var(--row); } .client { font-weight: bold; }
g rect { stroke: var(--edge); } .read rect { fill: var(--read); } .write rect { fill: var(--write); }
.open rect { stroke-dasharray: 5 3; fill-opacity: 0.5; }
g.stuck rect { stroke: var(--stuck); stroke-width: 3; fill: var(--stuck-fill); } g.stuck text { font-weight: bold; }
.order { fill: none; stroke: var(--order); stroke-width: 1.2; } g.order { fill: var(--order); stroke: none; }
table { border-collapse: collapse; font-size: 0.9rem; margin: 0.5rem 0; } th, td { text-align: left; padding: 0.2rem 0.8rem; border-bottom: 1px solid var(--row); }
tr.stuck td { color: var(--stuck); font-weight: bold; } summary { cursor: pointer; }
`;

import { describe, expect, test } from "vitest";
import { checkHistory } from "./checker.ts";
import { type MapOperation, type MapState, mapModel } from "./model.ts";
import { drawPicture } from "./picture.ts";
import { barHeight, type Failure, layOut } from "./picture-layout.ts";
import { del, get, load, put } from "./testing.ts";

function failuresOf(operations: readonly MapOperation[]): Failure<MapOperation, MapState>[] {
  return checkHistory(operations, mapModel).keys.filter((key) => key.verdict === "not-linearizable");
}

const stale = [
  put("a", [1, 3], { client: 1 }),
  put("b", [4, 6], { client: 2 }),
  put("c", [5, 9], { client: 1, outcome: "unknown" }),
  get("b", [7, 8], { client: 3 }),
  get("a", [10, 12], { client: 10 }),
  put("d", [11, 14], { client: 2 }),
  del([20, 21], { client: 1 }),
];
const page = (operations: readonly MapOperation[]): string =>
  drawPicture(failuresOf(operations), mapModel, { title: "run <7>", describeTime: (time) => `${time} ns` });

describe("the page", () => {
  test("says what cannot be explained, who wrote it, and what the key held", () => {
    const html = page(stale);
    expect(html).toContain(
      "Nothing explains <strong>get → &quot;a&quot;</strong> of client 10, called at\n10 ns, returned at 12 ns",
    );
    expect(html).toContain("which leaves <strong>&quot;b&quot;</strong>");
    expect(html).toContain("put &quot;a&quot; of client 1, called at 1 ns, returned at 3 ns: number 1 of the order");
  });

  test("says so where no operation wrote what was seen", () => {
    expect(page([put("a", [1, 2]), get("x", [3, 4])])).toContain("No operation of the history wrote what it saw.");
  });

  test("frames the contradiction, once, in the picture and in the table", () => {
    const html = page(stale);
    expect(html.match(/<g class="read stuck">/g)).toHaveLength(1);
    expect(html.match(/<tr class="stuck"><td>cannot be placed<\/td>/g)).toHaveLength(1);
  });

  test("needs nothing from outside, and runs no script", () => {
    expect(page(stale)).not.toMatch(/<script|<link|<img|https?:|url\(|@import/);
  });

  test("has colours for light and for dark", () => {
    expect(page(stale)).toMatch(/color-scheme: light dark[\s\S]*@media \(prefers-color-scheme: dark\)/);
  });

  test("shows values, keys and names as text, whatever is in them", () => {
    const nasty = "</text><script>alert('1')</script>&";
    const html = page([
      put(nasty, [1, 2], { key: nasty, client: nasty }),
      get(`${nasty}"`, [3, 4], { key: nasty, client: nasty }),
    ]);
    expect(html).not.toContain("<script");
    expect(html).toContain("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;");
    expect(html).toContain("run &lt;7&gt;");
  });

  test("has a section for each key that failed, up to ten", () => {
    const keys = Array.from({ length: 12 }, (_, n) => get("x", [1, 2], { key: `k${n}` }));
    const html = page([...keys, put("fine", [1, 2], { key: "fine" })]);
    expect(html.match(/<section>/g)).toHaveLength(10);
    expect(html).toContain("2 more keys without an order, not shown.");
  });
});

describe("the picture", () => {
  const layout = layOut(failuresOf(stale)[0]!, mapModel);
  const barOf = (operation: MapOperation) => layout.bars.find((bar) => bar.operation === operation)!;

  test("shows what was called until the contradiction, and nothing after it", () => {
    expect(new Set(layout.bars.map((bar) => bar.operation))).toEqual(new Set(stale.slice(0, 6)));
  });

  test("has a row for each client, by number", () => {
    expect(layout.rows.map((row) => row.client)).toEqual(["1", "2", "3", "10"]);
  });

  test("two bars overlap where the operations did, and only there", () => {
    const [a, b, , seen] = stale.map((operation) => layout.bars.find((bar) => bar.operation === operation));
    expect(a!.right).toBeLessThan(b!.left);
    expect(b!.right).toBeLessThan(seen!.left);
    expect(barOf(stale[5]!).left).toBeLessThan(barOf(stale[4]!).right);
  });

  test("an operation that has no known end reaches to the edge, and is marked", () => {
    expect(layout.bars.filter((bar) => bar.openRight).map((bar) => bar.operation)).toEqual([stale[2], stale[5]]);
    expect(barOf(stale[2]!).right).toBe(barOf(stale[5]!).right);
    expect(layout.bars.every((bar) => bar.right <= layout.width)).toBe(true);
  });

  test("numbers the order, and puts its dots on the bars, from left to right", () => {
    const placed = layout.bars.filter((bar) => bar.place !== undefined).sort((a, b) => a.place! - b.place!);
    expect(placed.map((bar) => bar.operation)).toEqual([stale[0], stale[1], stale[3]]);
    expect(layout.dots).toHaveLength(3);
    layout.dots.forEach(({ x, y }, at) => {
      const bar = placed[at]!;
      expect(x).toBeGreaterThanOrEqual(Math.max(bar.left, layout.dots[at - 1]?.x ?? 0));
      expect(x).toBeLessThanOrEqual(bar.right);
      expect(y).toBe(bar.top + barHeight);
    });
  });

  test("of a long history only the end is shown; no bar covers another, and every label fits its bar", () => {
    const operations = load({ count: 5000, clients: 6, keys: 1, unknown: 0.05, seed: 4 });
    const late = operations.findLastIndex((o) => o.op === "get" && o.outcome === "ok");
    operations[late] = { ...operations[late]!, value: operations.find((o) => o.op === "put")!.value };
    const { bars, earlier, rows, dots } = layOut(failuresOf(operations)[0]!, mapModel);
    expect(bars.length).toBeGreaterThan(25);
    expect(bars.length).toBeLessThan(200);
    expect(earlier).toBeGreaterThan(4000);
    expect(rows).toHaveLength(6);
    expect(dots.length).toBeGreaterThanOrEqual(30);
    for (const bar of bars) {
      expect(bar.right - bar.left).toBeGreaterThan(bar.label.length * 7);
      for (const other of bars)
        expect(other === bar || other.top !== bar.top || other.left >= bar.right || other.right <= bar.left).toBe(true);
    }
  });
});

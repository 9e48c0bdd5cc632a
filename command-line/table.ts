// A table of text on standard output.

/** A row that is cut short ends in a remark, which may run over the columns to its right. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const width = head.map((title, column) =>
    Math.max(
      title.length,
      ...rows.filter((r) => r.length === head.length || column < r.length - 1).map((r) => r[column]?.length ?? 0),
    ),
  );
  for (const row of [head, ...rows]) {
    process.stdout.write(
      `${row
        .map((cell, i) => cell.padEnd(width[i] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
  }
}

// Text that came from elsewhere, made fit for a terminal: one line, bounded, and nothing in it that the terminal would obey.

/** Control characters, invisible formatting (also what reverses the direction of text), lone surrogates, line separators. */
const harmful = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** White space is folded to single blanks; a harmful character is shown by its number, as \u{1b}. */
export function printable(text: string, maxChars = 500): string {
  const folded = text
    .slice(0, 10 * maxChars)
    .replace(/\s+/g, " ")
    .trim()
    .replace(harmful, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return folded.length > maxChars || text.length > 10 * maxChars ? `${folded.slice(0, maxChars)}...` : folded;
}

/** JSON on one line; what a terminal might obey is escaped, so that the text means the same. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(harmful, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

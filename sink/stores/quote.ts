/** The only place where an identifier becomes SQL text. Values are always parameters. */
export function quoteIdentifier(name: string): string {
  if (name === "" || name.includes("\0")) throw new TypeError("An SQL identifier is neither empty nor holds NUL");
  return `"${name.replaceAll('"', '""')}"`;
}
